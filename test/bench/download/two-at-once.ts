import { interleave, median } from "../support/interleave.ts";
import { type Row, shareOfRate, shareOfTime } from "../support/row.ts";
import { type DownloadBench, sourceFileAt } from "./context.ts";
import { measureDownloads } from "./measure.ts";

const AT_ONCE = "both at once";
const IN_TURN = "one after the other";

/** Two downloads at once against the same two one after the other. */
export async function twoAtOnce(bench: DownloadBench): Promise<Row[]> {
  const bytes = Math.floor(bench.size / 2);
  const one = [sourceFileAt(bench.origins.http, await bench.file("half-1.bin", bytes))];
  const other = [sourceFileAt(bench.origins.http, await bench.file("half-2.bin", bytes))];
  await using service = await bench.startService();
  const inTurn = async () => {
    const first = await measureDownloads(service, one);
    const second = await measureDownloads(service, other);
    return { verifiedSeconds: first.verifiedSeconds + second.verifiedSeconds };
  };
  const contenders = [
    { name: AT_ONCE, run: (): Promise<{ verifiedSeconds: number }> => measureDownloads(service, one, other) },
    { name: IN_TURN, run: inTurn },
  ];
  const results = await interleave(contenders, bench.rounds, bench.settle);
  const seconds = (name: string) => median((results.get(name) ?? []).map(({ verifiedSeconds }) => verifiedSeconds));
  const rateOf = (name: string) => (2 * bytes) / seconds(name);
  return [
    shareOfRate("two downloads at once: throughput over that of one", rateOf(AT_ONCE), rateOf(IN_TURN), 1.6),
    shareOfTime(`two downloads at once: share of the time ${IN_TURN}`, seconds(AT_ONCE), seconds(IN_TURN)),
  ];
}
