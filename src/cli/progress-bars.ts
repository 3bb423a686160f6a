import { MultiBar, type SingleBar } from "cli-progress";
import { type DownloadProgress, type FileProgress, FileState } from "../../gen/modelmanager/v1/download_pb.ts";
import type { ProgressView } from "./follow-download.ts";
import { formatFile, formatPercent, formatState, formatTotal } from "./format/progress.ts";
import { formatWaiting, waitingHint } from "./format/waiting.ts";

/** What stands beside the bar of the total, at most. */
const TOTAL_TEXT_WIDTH = 84;
const FILE_BAR_WIDTH = 12;

/** Bars on a terminal: the whole download on the first line, then one for each file that is running. */
export function createBars(terminal: NodeJS.WriteStream): ProgressView {
  const bars = new MultiBar({
    stream: terminal,
    format: (_options, _parameters, payload: { text: string }) => payload.text,
    hideCursor: true,
    // Signals are heard elsewhere; its own way is to go on without bars.
    gracefulExit: false,
    clearOnComplete: false,
    linewrap: false,
    fps: 10,
  });
  const total = bars.create(1, 0, { text: "" });
  const running = new Map<string, SingleBar>();
  let hinted = false;
  const columns = () => (terminal.columns || 80) - 1;

  const showFiles = (files: ReadonlyMap<string, FileProgress>) => {
    const room = Math.max(1, (terminal.rows || 24) - 3);
    const shown = [...files.values()].filter(isRunning).slice(0, room);
    const paths = new Set(shown.map((file) => file.path));
    for (const [path, bar] of running) {
      if (paths.has(path)) continue;
      bars.remove(bar);
      running.delete(path);
    }
    for (const file of shown) {
      const text = formatFile(file, FILE_BAR_WIDTH, columns());
      const bar = running.get(file.path);
      if (bar === undefined) running.set(file.path, bars.create(1, 0, { text }));
      else bar.update(0, { text });
    }
  };

  return {
    update(progress, files) {
      const hint = waitingHint(progress);
      if (hint !== undefined && !hinted) bars.log(`${hint}\n`);
      hinted ||= hint !== undefined;
      total.update(0, { text: totalLine(progress, columns()) });
      showFiles(files);
    },
    note: (text) => bars.log(`${text}\n`),
    end() {
      for (const bar of running.values()) bars.remove(bar);
      running.clear();
      bars.stop();
    },
  };
}

function totalLine(progress: DownloadProgress, columns: number): string {
  const waiting = formatWaiting(progress.waiting);
  const state = formatState(progress).padEnd(12);
  if (waiting !== "") return `${state} ${formatPercent(progress)}  ${waiting}`.slice(0, columns);
  const barWidth = Math.max(6, Math.min(24, columns - TOTAL_TEXT_WIDTH));
  return `${state} ${formatTotal(progress, barWidth)}`.slice(0, columns);
}

function isRunning(file: FileProgress): boolean {
  return file.state === FileState.TRANSFERRING || file.state === FileState.VERIFYING;
}
