import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { checkBlobs } from "../support/check-store.ts";
import { createHttpModel, type DrivenService, startDownload, startDrivenService } from "../support/driven-service.ts";
import { startFileOrigin } from "../support/file-origin.ts";
import { type RandomFile, writeRandomFile } from "../support/random-file.ts";
import { expectOneVersion } from "./expect-version.ts";
import { expectThat, type FaultCase, until } from "./fault-case.ts";
import { randomOf } from "./random.ts";

const MIB = 1024 ** 2;
const DOWNLOADS = 20;
const TOTAL_RATE = 24 * MIB;
const OPERATIONS_MS = 20_000;

type Operation = "pause" | "resume" | "cancel" | "limit";
/** Cancelling is rare, or nothing would be left. */
const OPERATIONS: readonly Operation[] = [
  "pause",
  "pause",
  "pause",
  "resume",
  "resume",
  "resume",
  "resume",
  "limit",
  "limit",
  "cancel",
];

/** Many downloads at once that are paused, resumed, limited and cancelled at random. */
export const soak: FaultCase = {
  name: `${DOWNLOADS} downloads with pause, resume and cancel at random`,
  timeoutMs: 240_000,
  async run({ folder, opened, seed }) {
    const random = randomOf(seed);
    const files: RandomFile[] = [];
    for (let index = 0; index < DOWNLOADS; index += 1) {
      const size = Math.ceil((1 + 23 * random()) * MIB);
      files.push(await writeRandomFile(join(folder, `${index}.bin`), size, seed + index));
    }
    const origin = await startFileOrigin({ root: folder, totalRate: TOTAL_RATE });
    opened.defer(() => origin.close());
    const service = await startDrivenService(join(folder, "data"));
    opened.defer(() => service.crash());
    const downloads: { id: string; modelId: string; file: RandomFile }[] = [];
    for (const [index, file] of files.entries()) {
      const modelId = `soak-${index}`;
      await createHttpModel(service.client, modelId, [
        { ...file, url: `${origin.base}/${file.name}`, path: file.name },
      ]);
      downloads.push({ id: await startDownload(service.client, modelId), modelId, file });
    }
    let done = 0;
    const endAt = performance.now() + OPERATIONS_MS;
    while (performance.now() < endAt) {
      const operation = OPERATIONS[Math.floor(random() * OPERATIONS.length)] ?? "resume";
      const { id } = downloads[Math.floor(random() * DOWNLOADS)] ?? { id: "" };
      if (await operate(service, operation, id, BigInt(Math.ceil((1 + 8 * random()) * MIB)))) done += 1;
      await setTimeout(random() * 100);
    }
    for (const { id } of downloads) await operate(service, "limit", id, 0n);
    for (const { id } of downloads) await operate(service, "resume", id, 0n);

    const { models } = service.client;
    const stateOf = async (downloadId: string) => (await models.getDownload({ downloadId })).download?.state;
    const final = new Set<DownloadState | undefined>([DownloadState.SUCCEEDED, DownloadState.CANCELLED]);
    await until("every download has ended", 120_000, async () => {
      const states = await Promise.all(downloads.map(({ id }) => stateOf(id)));
      expectThat(!states.includes(DownloadState.FAILED), "none fails");
      return states.every((state) => final.has(state));
    });
    let cancelledBytes = 0;
    let succeeded = 0;
    for (const { id, modelId, file } of downloads) {
      if ((await stateOf(id)) === DownloadState.SUCCEEDED) {
        await expectOneVersion(service.client, modelId, [file.sha256], service.store);
        succeeded += 1;
      } else {
        const { versions } = await models.listVersions({ modelId });
        expectThat(versions.length === 0, `${modelId}, which was cancelled, has no version`);
        cancelledBytes += file.size;
      }
    }
    await checkBlobs(service.store);
    // What a cancelled download has is kept for a while: another one of the same content goes on with it.
    await until("only cancelled downloads have parts", 20_000, async () => {
      return Number((await models.getStorage({})).storage?.partBytes ?? 0) <= cancelledBytes;
    });
    return `${done} operations took effect; ${succeeded} succeeded, ${DOWNLOADS - succeeded} were cancelled`;
  },
};

/** Does it if the download's state allows it; answers whether it did. */
async function operate(
  { client: { models } }: DrivenService,
  operation: Operation,
  downloadId: string,
  rateLimit: bigint,
): Promise<boolean> {
  try {
    if (operation === "pause") await models.pauseDownload({ downloadId });
    else if (operation === "resume") await models.resumeDownload({ downloadId });
    else if (operation === "cancel") await models.cancelDownload({ downloadId });
    else await models.updateDownload({ downloadId, rateLimit });
    return true;
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.FailedPrecondition) return false;
    throw error;
  }
}
