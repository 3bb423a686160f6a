import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { SourceFile } from "../../support/driven-service.ts";
import { type Contender, interleave, median } from "../support/interleave.ts";
import { findProgram, runProgram } from "../support/programs.ts";
import { type Row, shareOfTime } from "../support/row.ts";
import type { DownloadBench } from "./context.ts";
import { type Measure, measureDownloads } from "./measure.ts";

export interface CurlComparison {
  /** What is downloaded, as the table tells it. */
  readonly what: string;
  /** How curl is called, as the table tells it. */
  readonly name: string;
  readonly sources: readonly SourceFile[];
  /** curl's arguments to get all of it into an empty folder. */
  readonly args: (output: string) => readonly string[];
  /** The most that our time may be of curl's. */
  readonly atMost: number;
}

const OURS = "ours";

/** One download by a service of its own against one run of curl, which checks nothing. */
export async function compareWithCurl(bench: DownloadBench, comparison: CurlComparison): Promise<Row[]> {
  const { what, name, sources, args, atMost } = comparison;
  const curl = findProgram("curl");
  if (curl === undefined) {
    bench.note(`skipped: ${name} (curl not installed)`);
    return [];
  }
  const output = join(bench.folder, "curl");
  await using service = await bench.startService();
  const contenders: Contender<Pick<Measure, "seconds" | "verifiedSeconds">>[] = [
    { name: OURS, run: () => measureDownloads(service, sources) },
    {
      name,
      run: async () => {
        const { seconds } = await withFolder(output, () => runProgram(curl, ["-sSf", ...args(output)]));
        return { seconds, verifiedSeconds: seconds };
      },
    },
  ];
  const results = await interleave(contenders, bench.rounds, bench.settle);
  return (["verifiedSeconds", "seconds"] as const).map((part) => {
    const middle = (contender: string) => median((results.get(contender) ?? []).map((measure) => measure[part]));
    const moment = part === "seconds" ? "published, synced" : "verified";
    return shareOfTime(`${what}, ${moment}: share of the time of ${name}`, middle(OURS), middle(name), atMost);
  });
}

/** Runs work with an empty folder, which is removed after it. */
export async function withFolder<Result>(folder: string, work: () => Promise<Result>): Promise<Result> {
  await mkdir(folder);
  try {
    return await work();
  } finally {
    await rm(folder, { recursive: true });
  }
}
