import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { humanBytes } from "../../src/lib/bytes.ts";
import {
  createHttpModel,
  type DrivenService,
  isSucceeded,
  pollDownload,
  removeModel,
  startDownload,
  startDrivenService,
} from "../support/driven-service.ts";
import { type FileOrigin, startFileOrigin } from "../support/file-origin.ts";
import { writeRandomFile } from "../support/random-file.ts";
import { expectOneVersion } from "./expect-version.ts";
import { expectThat, type FaultCase } from "./fault-case.ts";
import { randomOf } from "./random.ts";

const MIB = 1024 ** 2;
/** So slow that what is on its way in the kernel, which nobody can keep, is little. */
const TOTAL_RATE = 256 * MIB;
/** A part of the kills come soon after the start, whatever the download does by then. */
const EARLY_KILLS = 0.2;
const LATEST_EARLY_MS = 1_000;
/** The others come after at most this part of the file more; when that is the end, while it is verified and published. */
const LONGEST_STRETCH = 0.25;
const LATEST_AFTER_MS = 300;
const MOST_AGAIN = 16 * MIB;

/** Kills the service at random moments of one big download after the other. */
export const killAtRandom: FaultCase = {
  name: "SIGKILL at random moments",
  timeoutMs: 30 * 60_000,
  async run({ folder, opened, kills, size, seed }) {
    const file = await writeRandomFile(join(folder, "big.bin"), size, seed);
    const random = randomOf(seed);
    const start = () => startDrivenService(join(folder, "data"));
    let service: DrivenService = await start();
    opened.defer(() => service.crash());
    const again: number[] = [];
    let downloads = 0;
    while (again.length < kills) {
      const origin: FileOrigin = await startFileOrigin({ root: folder, totalRate: TOTAL_RATE });
      opened.defer(() => origin.close());
      downloads += 1;
      const modelId = `killed-${downloads}`;
      await createHttpModel(service.client, modelId, [
        { ...file, url: `${origin.base}/${file.name}`, path: file.name },
      ]);
      const downloadId = await startDownload(service.client, modelId);
      const twice: number[] = [];
      while (again.length + twice.length < kills) {
        await randomMoment(service, downloadId, size, random);
        if (await isSucceeded(service.client, downloadId)) break;
        await service.crash();
        twice.push(origin.traffic().bytesTwice);
        service = await start();
      }
      await pollDownload(service.client, downloadId, ({ state }) => state === DownloadState.SUCCEEDED);
      const ends = [...twice.slice(1), origin.traffic().bytesTwice];
      again.push(...twice.map((before, index) => (ends[index] ?? before) - before));
      await expectOneVersion(service.client, modelId, [file.sha256], service.store);
      await removeModel(service.client, modelId);
    }
    const most = Math.max(...again);
    const mean = again.reduce((sum, bytes) => sum + bytes, 0) / again.length;
    const seen = `done again after each: ${humanBytes(Math.round(mean))} on average, ${humanBytes(most)} at most`;
    expectThat(most <= MOST_AGAIN, `at most ${humanBytes(MOST_AGAIN)} are done again after a kill; ${seen}`);
    return `${kills} kills in ${downloads} downloads of ${humanBytes(size)}; ${seen}`;
  },
};

/** Waits for a moment to kill the service. */
async function randomMoment(
  { client }: DrivenService,
  downloadId: string,
  size: number,
  random: () => number,
): Promise<void> {
  if (random() < EARLY_KILLS) return setTimeout(random() * LATEST_EARLY_MS);
  const { completedBytes } = await pollDownload(client, downloadId, () => true);
  const due = Number(completedBytes) + random() * LONGEST_STRETCH * size;
  await pollDownload(client, downloadId, (now) => now.completedBytes >= Math.min(due, size));
  if (due >= size) await setTimeout(random() * LATEST_AFTER_MS);
}
