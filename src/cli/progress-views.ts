import { DownloadProgressSchema } from "../../gen/modelmanager/v1/download_pb.ts";
import type { ProgressView } from "./follow-download.ts";
import { formatState, formatTotal } from "./format/progress.ts";
import { formatWaiting, waitingHint } from "./format/waiting.ts";
import { jsonText, messageJson, print, tell } from "./output.ts";
import { createBars } from "./progress-bars.ts";

/** How often plain lines say how far it is. */
const LINE_INTERVAL_MS = 2_000;
const LINE_BAR_WIDTH = 20;

/** The view that fits: JSON lines for scripts, nothing if quiet, bars on a terminal, else plain lines. */
export function createProgressView({ json, quiet }: { json?: boolean; quiet?: boolean }): ProgressView {
  if (json) return jsonView;
  if (quiet) return quietView;
  return process.stderr.isTTY ? createBars(process.stderr) : createLines(tell, Date.now);
}

const quietView: ProgressView = { update() {}, note() {}, end() {} };

const jsonView: ProgressView = {
  update: (progress) => print(jsonText({ progress: messageJson(DownloadProgressSchema, progress) })),
  note() {},
  end() {},
};

/** Plain lines, for logs: one for each state, each finished file and each thing it waits for, and meanwhile one every 2 s. */
export function createLines(write: (line: string) => void, now: () => number): ProgressView {
  let state = "";
  let saidAt = 0;
  let doneFiles = 0;
  let waited = "";
  let hinted = false;
  return {
    update(progress) {
      const entered = formatState(progress);
      const isDue = now() - saidAt >= LINE_INTERVAL_MS || progress.completedFiles > doneFiles;
      const waiting = formatWaiting(progress.waiting);
      if (entered === state && waiting === waited && !isDue) return;
      state = entered;
      saidAt = now();
      doneFiles = progress.completedFiles;
      waited = waiting;
      const amounts = progress.totalBytes === undefined ? "" : formatTotal(progress, LINE_BAR_WIDTH);
      write(
        [state.padEnd(12), amounts, waiting]
          .filter((part) => part !== "")
          .join("  ")
          .trimEnd(),
      );
      const hint = waitingHint(progress);
      if (hint !== undefined && !hinted) write(`  ${hint}`);
      hinted ||= hint !== undefined;
    },
    note: write,
    end() {},
  };
}
