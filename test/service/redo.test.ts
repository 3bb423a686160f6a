import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { checkBlobs } from "../support/check-store.ts";
import {
  createHttpModel,
  type DrivenService,
  pollDownload,
  startDownload,
  startDrivenService,
} from "../support/driven-service.ts";
import { type FileOrigin, startFileOrigin } from "../support/file-origin.ts";
import { writeRandomFile } from "../support/random-file.ts";

const MIB = 1024 ** 2;
const SIZE = 96 * MIB;
const KILLS = 3;
const MOST_AGAIN = 16 * MIB;

let folder: string;
let origin: FileOrigin;
let service: DrivenService;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "model-manager-redo-"));
  // So slow that what is on its way in the kernel, which nobody can keep, is next to nothing.
  origin = await startFileOrigin({ root: folder, totalRate: 24 * MIB });
  service = await startDrivenService(join(folder, "data"));
});

afterEach(async () => {
  await service.crash();
  await origin.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

it("asks for at most 16 MiB again after each kill -9", async () => {
  const file = await writeRandomFile(join(folder, "big.bin"), SIZE, 1);
  await createHttpModel(service.client, "big", [{ ...file, url: `${origin.base}/${file.name}`, path: file.name }]);
  const downloadId = await startDownload(service.client, "big");
  const marks: number[] = [];
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const due = (kill * SIZE) / (KILLS + 1);
    await pollDownload(service.client, downloadId, ({ completedBytes }) => completedBytes >= due);
    await service.crash();
    marks.push(origin.traffic().bytesTwice);
    service = await startDrivenService(join(folder, "data"));
  }
  await pollDownload(service.client, downloadId, ({ state }) => state === DownloadState.SUCCEEDED);
  const { bytes, bytesTwice } = origin.traffic();
  const again = [...marks.slice(1), bytesTwice].map((after, index) => after - (marks[index] ?? 0));
  expect(bytes - bytesTwice).toBe(SIZE);
  expect(Math.max(...again)).toBeLessThanOrEqual(MOST_AGAIN);
  expect(await checkBlobs(service.store)).toEqual(new Set([file.sha256]));
}, 60_000);
