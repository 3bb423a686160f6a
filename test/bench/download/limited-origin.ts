import { interleave, median } from "../support/interleave.ts";
import { startOriginProcess } from "../support/origin-process.ts";
import { type Row, shareOfRate } from "../support/row.ts";
import { type DownloadBench, sourceFileAt } from "./context.ts";
import { measureDownloads } from "./measure.ts";

const CONNECTIONS = 16;
const CONNECTION_RATE = 20 * 1024 ** 2;

/** An origin that limits each connection: how much of what all connections together may have we get. */
export async function limitedOrigin(bench: DownloadBench): Promise<Row[]> {
  const file = await bench.file("big.bin", bench.size);
  await using origin = await startOriginProcess({ root: bench.root, connectionRate: CONNECTION_RATE });
  await using service = await bench.startService({
    environment: { MODEL_MANAGER_MAX_CONNECTIONS: String(CONNECTIONS) },
  });
  const ours = { name: "ours", run: () => measureDownloads(service, [sourceFileAt(origin.base, file)]) };
  const results = await interleave([ours], bench.rounds, bench.settle);
  const seconds = median((results.get(ours.name) ?? []).map(({ verifiedSeconds }) => verifiedSeconds));
  const what = `20 MiB/s a connection: share of ${CONNECTIONS} connections' sum`;
  return [shareOfRate(what, bench.size / seconds, CONNECTIONS * CONNECTION_RATE, 0.97)];
}
