import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { mountTmpfs } from "../download/support/tmpfs.ts";
import { createHttpModel, pollDownload, startDownload, startDrivenService } from "../support/driven-service.ts";
import { startFileOrigin } from "../support/file-origin.ts";
import { type RandomFile, writeRandomFile } from "../support/random-file.ts";
import { expectOneVersion } from "./expect-version.ts";
import { expectThat, type FaultCase, Skipped } from "./fault-case.ts";

const MIB = 1024 ** 2;
const FILES = 8;
const FILE_BYTES = 24 * MIB;
const TOTAL_RATE = 24 * MIB;
/** Long enough that a download which only tries again and again would have given up. */
const PARKED_MS = 5_000;

/** The disk becomes full in the middle of a download, and has room again later. */
export const diskFull: FaultCase = {
  name: "disk full in the middle",
  timeoutMs: 180_000,
  async run({ folder, opened, seed }) {
    const root = join(folder, "files");
    const disk = join(folder, "disk");
    await Promise.all([mkdir(root), mkdir(disk)]);
    const unmount = mountTmpfs(disk, "size=512m");
    if (unmount === undefined) throw new Skipped("no file system may be mounted here");
    opened.defer(unmount);
    const files: RandomFile[] = [];
    for (let index = 0; index < FILES; index += 1) {
      files.push(await writeRandomFile(join(root, `${index}.bin`), FILE_BYTES, seed + index));
    }
    const origin = await startFileOrigin({ root, totalRate: TOTAL_RATE });
    opened.defer(() => origin.close());
    const store = join(disk, "store");
    const environment = { MODEL_MANAGER_STORE: store, MODEL_MANAGER_HEADROOM: "16MiB" };
    let service = await startDrivenService(join(folder, "data"), environment);
    opened.defer(() => service.crash());
    let { client } = service;
    const sources = files.map((file) => ({ ...file, url: `${origin.base}/${file.name}`, path: file.name }));
    await createHttpModel(client, "full", sources);
    const downloadId = await startDownload(client, "full");
    await pollDownload(client, downloadId, ({ completedBytes }) => completedBytes > FILE_BYTES);

    const ballast = join(disk, "ballast");
    await fill(ballast);
    const parked = await pollDownload(client, downloadId, ({ waiting }) => waiting !== undefined);
    await setTimeout(PARKED_MS);
    const later = await pollDownload(client, downloadId, () => true);
    expectThat(later.waiting !== undefined, "it waits as long as the disk is full");
    expectThat(!parked.waiting?.message.includes(disk), "what it waits for is told without a path of the server");
    // What it has stays its own through a crash, and is not counted once more.
    await service.crash();
    service = await startDrivenService(join(folder, "data"), environment);
    client = service.client;
    await pollDownload(client, downloadId, ({ waiting }) => waiting !== undefined);
    await rm(ballast);
    const freedAt = performance.now();
    await pollDownload(client, downloadId, ({ state }) => state === DownloadState.SUCCEEDED);
    const seconds = ((performance.now() - freedAt) / 1000).toFixed(1);
    const sha256s = files.map(({ sha256 }) => sha256);
    await expectOneVersion(client, "full", sha256s, store);
    return `parked ("${parked.waiting?.message}"), done ${seconds} s after there was room`;
  },
};

/** Writes a file until its disk is full. */
async function fill(path: string): Promise<void> {
  await using file = await open(path, "w");
  const zeros = Buffer.alloc(MIB);
  try {
    for (;;) await file.writeFile(zeros);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}
