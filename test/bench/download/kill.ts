import { DownloadState } from "../../../gen/modelmanager/v1/download_pb.ts";
import { createHttpModel, pollDownload, startDownload } from "../../support/driven-service.ts";
import { startOriginProcess } from "../support/origin-process.ts";
import { boundedBytes, type Row } from "../support/row.ts";
import { type DownloadBench, sourceFileAt } from "./context.ts";

/** So slow that what is on its way in the kernel, which nobody can keep, is little. */
const TOTAL_RATE = 256 * 1024 ** 2;

/** How much of a file is asked for again when the service is killed in the middle of it. */
export async function killInTheMiddle(bench: DownloadBench): Promise<Row[]> {
  const size = Math.floor(bench.size / 2);
  const file = await bench.file("half-1.bin", size);
  const again: number[] = [];
  for (let round = 0; round < bench.rounds; round += 1) {
    await using origin = await startOriginProcess({ root: bench.root, totalRate: TOTAL_RATE });
    const data = `killed-${round}`;
    const killed = await bench.startService({ data });
    await createHttpModel(killed.client, "killed", [sourceFileAt(origin.base, file)]);
    const downloadId = await startDownload(killed.client, "killed");
    await pollDownload(killed.client, downloadId, ({ completedBytes }) => completedBytes >= size / 2);
    await killed.crash();
    await using service = await bench.startService({ data });
    await pollDownload(service.client, downloadId, ({ state }) => state === DownloadState.SUCCEEDED);
    again.push((await origin.traffic()).bytes - size);
  }
  return [boundedBytes(`done again after kill -9 in the middle, most of ${bench.rounds}`, Math.max(...again), 16)];
}
