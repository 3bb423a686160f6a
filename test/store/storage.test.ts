import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Digest } from "../../src/domain/digest.ts";
import type { Storage } from "../../src/domain/ports/storage.ts";
import type { DownloadsService } from "../../src/download/downloads.ts";
import { type Cluster, createCluster, download, downloadOf, watchUntil } from "../download/support/service.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { digestOf } from "./contract.ts";
import { maintenanceOf } from "./maintenance-of.ts";

const KiB = 1024;
const never = new AbortController().signal;
const NOW = { graceMs: 0, dryRun: false, signal: never };

let origin: TestOrigin;
let cluster: Cluster;
let service: DownloadsService;
let storage: Storage;
let served = 0;

beforeAll(async () => {
  [origin, cluster] = await Promise.all([startOrigin(), createCluster()]);
  service = await cluster.replica();
  service.start();
  ({ storage } = maintenanceOf(cluster, service));
});
afterAll(async () => {
  await service.stop(1000);
  await cluster.close();
  await origin.close();
});

function serve(bytes: Uint8Array, bytesPerSecond?: number): { url: string; path: string; sha256: string } {
  served += 1;
  const url = origin.serve(`/blob-${served}`, bytes, { methods: ["GET"], bytesPerSecond });
  return { url, path: `file-${served}`, sha256: digestOf(bytes).slice("sha256:".length) };
}

describe("a collection", () => {
  it("takes blobs that nothing uses, after their grace, and leaves those that something does", async () => {
    const [shared, own] = [randomBytes(64 * KiB), randomBytes(32 * KiB)];
    const first = await cluster.model(serve(shared), serve(own));
    const second = await cluster.model(serve(shared));
    await download(service, first);
    await download(service, second);
    expect(await storage.collect(NOW)).toEqual({ blobs: [], blobCount: 0, freedBytes: 0, quarantineBytes: 0 });
    const before = await storage.usage();

    await cluster.models.delete(first, { etag: "", force: false });
    expect(await storage.usage()).toMatchObject({
      blobBytes: before.blobBytes,
      reclaimableBytes: before.reclaimableBytes + own.length,
    });
    expect(await storage.collect({ ...NOW, graceMs: 60_000 })).toMatchObject({ blobCount: 0 });
    const freedBytes = own.length;
    const going = {
      blobs: [{ digest: digestOf(own), size: own.length }],
      blobCount: 1,
      freedBytes,
      quarantineBytes: 0,
    };
    expect(await storage.collect({ ...NOW, dryRun: true })).toEqual(going);
    expect(await cluster.store.stat(digestOf(own))).toEqual({ size: own.length });
    expect(await storage.collect(NOW)).toEqual(going);
    expect(await cluster.store.stat(digestOf(own))).toBeUndefined();
    expect(await cluster.store.stat(digestOf(shared))).toEqual({ size: shared.length });
    expect(await storage.usage()).toMatchObject({ blobBytes: before.blobBytes - own.length, reclaimableBytes: 0 });
  });

  it("leaves what a live download counts on, and takes it when that is cancelled", async () => {
    const [small, big] = [randomBytes(KiB), randomBytes(4096 * KiB)];
    const modelId = await cluster.model(serve(small), serve(big, 512 * KiB));
    const { id } = await service.downloads.start(downloadOf(modelId));
    await watchUntil(service, id, ({ completedFiles }) => completedFiles === 1);
    expect(await storage.collect(NOW)).toMatchObject({ blobCount: 0 });
    const partBytes = async () => (await storage.usage()).partBytes;
    await expect.poll(partBytes, { timeout: 10_000 }).toBeGreaterThan(0);
    await service.downloads.cancel(id);
    expect(await storage.collect(NOW)).toMatchObject({ blobs: [{ digest: digestOf(small), size: KiB }] });
  });

  it("counts the blobs of pinned versions", async () => {
    const bytes = randomBytes(8 * KiB);
    const modelId = await cluster.model(serve(bytes));
    await download(service, modelId);
    const { pinnedBytes } = await storage.usage();
    await cluster.models.updateVersion(modelId, 1, { pinned: true }, "");
    expect(await storage.usage()).toMatchObject({ pinnedBytes: pinnedBytes + bytes.length });
  });

  it("takes a blob whose bytes somebody took before", async () => {
    const bytes = randomBytes(KiB);
    const modelId = await cluster.model(serve(bytes));
    await download(service, modelId);
    await cluster.models.delete(modelId, { etag: "", force: false });
    await cluster.store.remove(digestOf(bytes));
    expect(await storage.collect(NOW)).toMatchObject({ blobCount: 1 });
  });

  it("never takes a blob from a version, while the same content is deleted, collected and downloaded at once", async () => {
    const contents = Array.from({ length: 4 }, () => randomBytes(2 * KiB));
    const served = contents.map((bytes) => serve(bytes));
    let going = true;
    let collected = 0;
    const collecting = (async () => {
      while (going) collected += (await storage.collect(NOW)).blobCount;
    })();
    const lives = Array.from({ length: 2 }, async () => {
      for (let round = 0; round < 8; round += 1) {
        const modelId = await cluster.model(...served);
        const { last } = await download(service, modelId);
        expect(last).toMatchObject({ state: "SUCCEEDED" });
        const { files = [] } = await cluster.models.getVersion({ modelId });
        await Promise.all(files.map(({ digest }) => expectInStore(digest)));
        await cluster.models.delete(modelId, { etag: "", force: false });
      }
    });
    await Promise.all(lives).finally(() => {
      going = false;
    });
    await collecting;
    collected += (await storage.collect(NOW)).blobCount;
    expect(collected).toBeGreaterThanOrEqual(contents.length);
    for (const bytes of contents) expect(await cluster.store.stat(digestOf(bytes))).toBeUndefined();
  }, 60_000);
});

async function expectInStore(digest: Digest): Promise<void> {
  expect(await cluster.store.stat(digest), digest).toEqual({ size: 2 * KiB });
}

it("counts parts of downloads", async () => {
  const { partBytes } = await storage.usage();
  await writeFile(join(cluster.store.spoolDirectory, "left-over"), randomBytes(3000));
  expect((await storage.usage()).partBytes).toBe(partBytes + 3000);
});
