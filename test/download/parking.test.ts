import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { DomainError } from "../../src/domain/errors.ts";
import type { BlobStore } from "../../src/domain/ports/blob-store.ts";
import { createDiskStore } from "../../src/store/disk.ts";
import { silent } from "../sources/helpers.ts";
import { digestOf } from "../store/contract.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { type Cluster, createCluster, download, downloadOf, running, watchAll, watchUntil } from "./support/service.ts";
import { mountTmpfs } from "./support/tmpfs.ts";

const MiB = 1024 * 1024;
vi.setConfig({ testTimeout: 60_000 });
/** Long enough for a watcher to see that it waits. */
const SOON = { baseMs: 800, maxMs: 800 };
const timing = { parkingBackoff: { full: SOON, away: SOON } };
const AT_ONCE = { baseMs: 1, maxMs: 1 };

let origin: TestOrigin;
let cluster: Cluster;
let served = 0;

beforeAll(async () => {
  [origin, cluster] = await Promise.all([startOrigin(), createCluster()]);
});
afterAll(async () => {
  await cluster.close();
  await origin.close();
});

async function model(size: number, bytesPerSecond?: number): Promise<{ modelId: string; path: string; bytes: Buffer }> {
  served += 1;
  const path = `/parked-${served}`;
  const bytes = randomBytes(size);
  const url = origin.serve(path, bytes, { methods: ["GET"], bytesPerSecond });
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { modelId: await cluster.model({ url, path: "file", sha256 }), path, bytes };
}

/** The cluster's store whose commits fail as long as there is a failure, and whose free space can be told. */
function brokenStore(failure: DomainError): { store: BlobStore; repair: () => void; freeBytes: number | undefined } {
  const broken = {
    failure: failure as DomainError | undefined,
    freeBytes: undefined as number | undefined,
    repair: () => {
      broken.failure = undefined;
    },
    store: {
      ...cluster.store,
      spoolSpace: async () => ({
        ...(await cluster.store.spoolSpace()),
        ...(broken.freeBytes && { freeBytes: broken.freeBytes }),
      }),
      commit: async (digest: Parameters<BlobStore["commit"]>[0], file: string) => {
        if (broken.failure !== undefined) throw broken.failure;
        await cluster.store.commit(digest, file);
      },
    },
  };
  return broken;
}

const full = () => new DomainError("DISK_FULL", "the store's disk is full", { cause: new Error("ENOSPC") });
const away = () =>
  new DomainError("STORE_UNAVAILABLE", "the store's disk cannot be used", { cause: new Error("EROFS") });
const isParked = ({ state, waiting }: { state: string; waiting?: unknown }) =>
  state === "QUEUED" && waiting !== undefined;

describe("a disk that becomes full on the way", () => {
  it("parks the download, which says so everywhere, and goes on by itself", async () => {
    const broken = brokenStore(full());
    const service = await running(cluster, { store: broken.store, timing });
    const other = await cluster.replica();
    const { modelId, path, bytes } = await model(3 * MiB);
    const { id } = await service.downloads.start(downloadOf(modelId));
    const parked = await watchUntil(service, id, isParked);
    expect(parked.waiting).toMatchObject({ reason: "DISK_FULL", message: expect.stringMatching(/needed, .* free/) });
    expect(parked.waiting?.metadata).toMatchObject({ needed_bytes: expect.any(String), reserved_bytes: "0" });
    expect(parked).toMatchObject({ error: undefined, bytesPerSecond: 0 });
    await watchUntil(other, id, isParked);
    await expect
      .poll(() => service.downloads.get(id))
      .toMatchObject({ state: "QUEUED", error: undefined, progress: { waiting: { reason: "DISK_FULL" } } });
    expect(await cluster.models.get(modelId)).toMatchObject({ status: "DOWNLOADING" });
    broken.repair();
    const last = (await watchAll(service, id)).at(-1);
    expect(last).toMatchObject({ state: "SUCCEEDED", waiting: undefined });
    expect(await cluster.store.stat(digestOf(bytes))).toEqual({ size: bytes.length });
    // What was here was not fetched again.
    expect(origin.requestsOf(path).filter(({ method }) => method === "GET")).toHaveLength(1);
  });

  it("holds no place of others, outlasts a restart, and waits until there is room", async () => {
    const broken = brokenStore(full());
    const first = await running(cluster, { store: broken.store, maxDownloads: 1, timing });
    const { modelId } = await model(2 * MiB);
    const { id } = await first.downloads.start(downloadOf(modelId));
    await watchUntil(first, id, isParked);
    broken.freeBytes = MiB;
    broken.repair();
    // Two turns of the scheduler later it has heard that there is no room.
    await new Promise((resolve) => setTimeout(resolve, 200));
    await first.stop(1000);
    const second = await running(cluster, { store: broken.store, maxDownloads: 1, timing });
    const small = await model(1000);
    expect((await download(second, small.modelId)).last).toMatchObject({ state: "SUCCEEDED" });
    const waiting = await second.downloads.get(id);
    expect(waiting).toMatchObject({ state: "QUEUED", progress: { waiting: { reason: "DISK_FULL" } } });
    broken.freeBytes = 64 * MiB;
    expect((await watchAll(second, id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
  });

  it("lets it be held and ended meanwhile, and forgets why it waited", async () => {
    const broken = brokenStore(full());
    const service = await running(cluster, { store: broken.store, timing });
    const { modelId } = await model(MiB);
    const { id } = await service.downloads.start(downloadOf(modelId));
    await watchUntil(service, id, isParked);
    const begin = performance.now();
    const paused = await service.downloads.pause(id);
    expect([paused.state, paused.progress.waiting]).toEqual(["PAUSED", undefined]);
    await watchUntil(service, id, ({ state }) => state === "PAUSED");
    expect(performance.now() - begin).toBeLessThan(2500);
    const resumed = await service.downloads.resume(id);
    expect([resumed.state, resumed.progress.waiting]).toEqual(["QUEUED", undefined]);
    await watchUntil(service, id, isParked);
    const watching = watchAll(service, id);
    const cancel = performance.now();
    await service.downloads.cancel(id);
    expect((await watching).at(-1)).toMatchObject({ state: "CANCELLED", waiting: undefined });
    expect(performance.now() - cancel).toBeLessThan(2500);
  });

  it("is a real one: others that fit go on, and it resumes when space is freed", async ({ skip }) => {
    const directory = await mkdtemp(join(os.tmpdir(), "parking-"));
    const unmount = mountTmpfs(directory, "size=24m,mode=755");
    if (unmount === undefined) return skip("a small file system cannot be mounted here");
    try {
      const store = await createDiskStore({ directory, log: silent });
      const service = await cluster.replica({ store, maxDownloads: 1, timing });
      service.start();
      const big = await model(12 * MiB, 3 * MiB);
      const { id } = await service.downloads.start(downloadOf(big.modelId));
      await watchUntil(service, id, ({ completedBytes }) => completedBytes > MiB);
      // Somebody else takes all that is left.
      const filler = join(directory, "filler");
      await expect(writeFile(filler, new Uint8Array(24 * MiB))).rejects.toMatchObject({ code: "ENOSPC" });
      const parked = await watchUntil(service, id, isParked);
      expect(parked.waiting).toMatchObject({ reason: "DISK_FULL" });
      await rm(filler);
      expect((await watchAll(service, id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
      expect(await store.stat(digestOf(big.bytes))).toEqual({ size: big.bytes.length });
      expect(origin.bytesOf(big.path)).toBeLessThan(18 * MiB);
    } finally {
      unmount();
      await rm(directory, { recursive: true, force: true });
    }
  });
});

describe("a store that cannot be used", () => {
  it("is tried again, and the download goes on when it is back", async () => {
    const broken = brokenStore(away());
    const service = await running(cluster, { store: broken.store, timing });
    const { modelId } = await model(MiB);
    const { id } = await service.downloads.start(downloadOf(modelId));
    const parked = await watchUntil(service, id, isParked);
    expect(parked.waiting).toMatchObject({ reason: "STORE_UNAVAILABLE" });
    broken.repair();
    expect((await watchAll(service, id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
  });

  it("fails the download if that takes too long", async () => {
    const broken = brokenStore(away());
    const service = await running(cluster, {
      store: broken.store,
      timing: { parkingBackoff: { full: AT_ONCE, away: AT_ONCE }, pollMs: 10 },
    });
    const { last } = await download(service, (await model(1000)).modelId);
    expect(last).toMatchObject({ state: "FAILED", error: { reason: "STORE_UNAVAILABLE" }, waiting: undefined });
    expect(last.attempt).toBe(18);
  });
});
