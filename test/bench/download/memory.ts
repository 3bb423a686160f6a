import { watchMemory } from "../support/process-usage.ts";
import { boundedBytes, type Row } from "../support/row.ts";
import { type DownloadBench, sourceFileAt } from "./context.ts";
import { measureDownloads } from "./measure.ts";

const DOWNLOADS = 20;

/** How much memory many downloads at once take. */
export async function memoryOfMany(bench: DownloadBench): Promise<Row[]> {
  const bytes = Math.ceil(bench.size / 32);
  const contents = [];
  for (let index = 0; index < DOWNLOADS; index += 1) {
    contents.push([sourceFileAt(bench.origins.http, await bench.file(`part-${index}.bin`, bytes))]);
  }
  await using service = await bench.startService({ environment: { MODEL_MANAGER_MAX_DOWNLOADS: String(DOWNLOADS) } });
  const memory = await watchMemory(service.process.pid);
  await measureDownloads(service, ...contents);
  return [boundedBytes(`${DOWNLOADS} downloads at once: memory beyond idle`, await memory?.extra(), 150)];
}
