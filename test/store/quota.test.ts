import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Progress } from "../../src/domain/download.ts";
import type { DownloadsService } from "../../src/download/downloads.ts";
import { createQuota } from "../../src/store/quota.ts";
import {
  type Cluster,
  createCluster,
  download,
  downloadOf,
  watchAll,
  watchUntil,
} from "../download/support/service.ts";
import { silent } from "../sources/helpers.ts";
import { type Behavior, startOrigin, type TestOrigin } from "../support/origin.ts";
import { digestOf } from "./contract.ts";

const KiB = 1024;
const QUOTA = 100 * KiB;

let origin: TestOrigin;
let cluster: Cluster;
let service: DownloadsService;
let served = 0;

beforeAll(async () => {
  origin = await startOrigin();
});
afterAll(() => origin.close());
beforeEach(async () => {
  cluster = await createCluster();
  service = await cluster.replica({ quota: quotaOf(QUOTA) });
  service.start();
});
afterEach(async () => {
  await service.stop(1000);
  await cluster.close();
});

function quotaOf(quotaBytes: number) {
  const { quota, store, blobs: records } = cluster;
  return createQuota({ quota, quotaBytes, store, records, log: silent });
}

/** A model with a file of `bytes` each. */
async function modelOf(contents: readonly Uint8Array[], behavior: Behavior = {}): Promise<string> {
  const files = contents.map((bytes) => {
    served += 1;
    const url = origin.serve(`/${served}`, bytes, { methods: ["GET"], ...behavior });
    return { url, path: `f${served}`, sha256: digestOf(bytes).slice("sha256:".length) };
  });
  return cluster.model(...files);
}

/** Downloads a model of one file of some KiB. */
async function pull(kib: number): Promise<{ modelId: string; last: Progress }> {
  const modelId = await modelOf([randomBytes(kib * KiB)]);
  const { last } = await download(service, modelId);
  return { modelId, last };
}

async function versionsOf(...modelIds: string[]): Promise<number[]> {
  return Promise.all(modelIds.map(async (modelId) => (await cluster.models.get(modelId)).versionCount));
}

async function blobBytes(): Promise<number> {
  return (await cluster.blobs.usage()).blobBytes;
}

describe("a quota", () => {
  it("evicts the version that was used least recently, and its bytes at once", async () => {
    const first = await pull(40);
    const second = await pull(40);
    // Found again, and so used.
    await download(service, first.modelId);
    const third = await pull(40);
    expect(third.last).toMatchObject({ state: "SUCCEEDED" });
    expect(await versionsOf(first.modelId, second.modelId, third.modelId)).toEqual([1, 0, 1]);
    expect(await cluster.models.get(second.modelId)).toMatchObject({ status: "REGISTERED" });
    expect(await blobBytes()).toBe(80 * KiB);
  });

  it("evicts no more than it must, and nothing for what the store has", async () => {
    const shared = randomBytes(50 * KiB);
    const first = await modelOf([shared, randomBytes(10 * KiB)]);
    await download(service, first);
    const second = await pull(40);
    const again = await modelOf([shared]);
    expect((await download(service, again)).last).toMatchObject({ state: "SUCCEEDED", reusedBytes: 50 * KiB });
    expect(await versionsOf(first, second.modelId, again)).toEqual([1, 1, 1]);
    // The oldest would free 10 KiB only; the next to go brings the room.
    const big = await pull(50);
    expect(big.last).toMatchObject({ state: "SUCCEEDED" });
    expect(await versionsOf(first, second.modelId, again)).toEqual([0, 0, 1]);
    expect(await blobBytes()).toBe(100 * KiB);
  });

  it("takes what nothing needs before it evicts", async () => {
    const gone = await pull(60);
    await cluster.models.delete(gone.modelId, { etag: "", force: false });
    const kept = await pull(40);
    expect((await pull(60)).last).toMatchObject({ state: "SUCCEEDED" });
    expect(await versionsOf(kept.modelId)).toEqual([1]);
  });

  it("spares what is pinned, named or being downloaded, and says what is in the way", async () => {
    const pinned = await pull(30);
    await cluster.models.updateVersion(pinned.modelId, 1, { pinned: true }, "");
    const named = await pull(20);
    await cluster.models.setAlias(named.modelId, "production", 1);
    const free = await pull(10);
    const slow = await modelOf([randomBytes(20 * KiB)], { bytesPerSecond: 4 * KiB });
    const { id } = await service.downloads.start(downloadOf(slow));
    await watchUntil(service, id, ({ completedBytes }) => completedBytes > 0);

    const refused = await pull(40);
    expect(refused.last).toMatchObject({
      state: "FAILED",
      error: {
        reason: "QUOTA_EXCEEDED",
        metadata: { needed_bytes: `${40 * KiB}`, used_bytes: `${60 * KiB}`, quota_bytes: `${QUOTA}` },
      },
    });
    expect(refused.last.error?.message).toBe(
      "the store's quota is too small: 40.0 KiB needed, 60.0 KiB of 100 KiB used; " +
        "50.0 KiB of that pinned or in use (30.0 KiB pinned), other downloads have reserved 20.0 KiB",
    );
    // Nothing was evicted in vain.
    expect(await versionsOf(pinned.modelId, named.modelId, free.modelId)).toEqual([1, 1, 1]);
    expect((await pull(30)).last).toMatchObject({ state: "SUCCEEDED" });
    expect(await versionsOf(pinned.modelId, named.modelId, free.modelId)).toEqual([1, 1, 0]);
    await service.downloads.cancel(id);
  });

  it("is kept by downloads that begin at once, in several processes", async () => {
    const other = await cluster.replica({ quota: quotaOf(QUOTA) });
    other.start();
    const models = await Promise.all(
      [60, 60, 60].map((kib) => modelOf([randomBytes(kib * KiB)], { bytesPerSecond: 60 * KiB })),
    );
    const started = await Promise.all(models.map((modelId) => service.downloads.start(downloadOf(modelId))));
    const ends = await Promise.all(started.map(async ({ id }) => (await watchAll(service, id)).at(-1)));
    expect(ends.map((end) => end?.state).sort()).toEqual(["FAILED", "FAILED", "SUCCEEDED"]);
    for (const end of ends) if (end?.state === "FAILED") expect(end.error?.reason).toBe("QUOTA_EXCEEDED");
    expect(await blobBytes()).toBe(60 * KiB);
  });

  it("refuses what it could never hold, at once and in words", async () => {
    const { last } = await pull(200);
    expect(last).toMatchObject({ state: "FAILED", sourceBytes: 0, error: { reason: "QUOTA_EXCEEDED" } });
    expect(last.error?.message).toBe("the store's quota is too small: 200 KiB needed, 0 B of 100 KiB used");
  });
});
