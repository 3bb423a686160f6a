import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Digest, hexOfDigest } from "../../src/domain/digest.ts";
import { DomainError } from "../../src/domain/errors.ts";
import type { DamagedBlob, Storage, VerifyProgress } from "../../src/domain/ports/storage.ts";
import type { DownloadsService } from "../../src/download/downloads.ts";
import {
  type Cluster,
  createCluster,
  download,
  downloadOf,
  watchAll,
  watchUntil,
} from "../download/support/service.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { digestOf } from "./contract.ts";
import { maintenanceOf } from "./maintenance-of.ts";

const KiB = 1024;
const signal = new AbortController().signal;

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

function serve(bytes: Uint8Array, path: string): { url: string; path: string; originPath: string } {
  served += 1;
  const originPath = `/${served}/${path}`;
  return { url: origin.serve(originPath, bytes), path, originPath };
}

/** Where a blob's file lies. */
function fileOf(digest: Digest): string {
  const hex = hexOfDigest(digest);
  return join(cluster.directory, "blobs", "sha256", hex.slice(0, 2), hex);
}

async function flipByte(path: string, position: number): Promise<void> {
  await using file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, position);
  byte[0] = (byte[0] ?? 0) ^ 0x10;
  await file.write(byte, 0, 1, position);
}

async function verify(
  from: Storage = storage,
  digests?: Digest[],
): Promise<{ damaged: DamagedBlob[]; last: VerifyProgress }> {
  const messages: VerifyProgress[] = [];
  for await (const message of from.verify({ digests, signal })) messages.push(message);
  const last = messages.at(-1);
  if (last === undefined) throw new Error("the check told nothing");
  return { damaged: messages.flatMap(({ damaged }) => damaged), last };
}

/** What looks after the store, but leaves lost bytes lost. */
function withoutRepairs() {
  const start = async () => {
    throw new DomainError("STATE_INVALID", "this test repairs nothing");
  };
  return maintenanceOf(cluster, { reservedBytes: () => 0, downloads: { start } });
}

async function newestOf(modelId: string) {
  const { items } = await service.downloads.list({
    size: 1,
    token: "",
    filter: { kind: "compare", field: "model_id", operator: "=", value: modelId },
  });
  const [newest] = items;
  if (newest === undefined) throw new Error("there is no download");
  return newest;
}

/** Waits for the download that repairs a version; it is the newest. */
async function repairOf(modelId: string) {
  const { id } = await newestOf(modelId);
  await watchAll(service, id);
  return service.downloads.get(id);
}

async function versionOf(modelId: string) {
  return cluster.models.getVersion({ modelId, version: 1 });
}

/** A model of two files, downloaded. */
async function modelOf(good: Buffer, other: Buffer = randomBytes(KiB)) {
  const files = [serve(good, "nested/weights[1]*.bin"), serve(other, "config.json")] as const;
  const modelId = await cluster.model(...files);
  await download(service, modelId);
  return { modelId, digest: digestOf(good), files };
}

describe("a check of the store", () => {
  it("counts what it reads, and finds nothing where nothing is wrong", async () => {
    const { modelId } = await modelOf(randomBytes(300 * KiB));
    const { files = [] } = await versionOf(modelId);
    const { damaged, last } = await verify(
      storage,
      files.map(({ digest }) => digest),
    );
    expect(damaged).toEqual([]);
    const all = { checkedBlobs: 2, totalBlobs: 2, checkedBytes: 301 * KiB, totalBytes: 301 * KiB };
    expect(last).toEqual({ ...all, damaged: [] });
  });

  it.each<[string, boolean, (path: string) => Promise<void>]>([
    ["in which a bit flipped", false, (path) => flipByte(path, 123_456)],
    ["that was cut short", false, (path) => truncate(path, 1000)],
    ["that grew", false, (path) => truncate(path, 1_000_000)],
    ["that was deleted", true, (path) => rm(path)],
    [
      "that became a folder",
      false,
      async (path) => {
        await rm(path);
        await mkdir(path);
      },
    ],
  ])("puts aside a blob %s, marks its version, and gets it again", async (_what, missing, harm) => {
    const bytes = randomBytes(300 * KiB);
    const { modelId, digest, files } = await modelOf(bytes);
    const before = await versionOf(modelId);
    const gets = () => files.map(({ originPath }) => origin.bytesOf(originPath));
    const sent = gets();
    await harm(fileOf(digest));

    const { damaged, last } = await verify();
    expect(damaged).toEqual([{ digest, size: bytes.length, missing, modelRefs: [`${modelId}@1`] }]);
    expect(last.checkedBlobs).toBe(last.totalBlobs);
    expect(await repairOf(modelId)).toMatchObject({ state: "SUCCEEDED", version: 1 });
    expect(await versionOf(modelId)).toEqual(before);
    expect(await cluster.models.get(modelId)).toMatchObject({ versionCount: 1, status: "AVAILABLE" });
    expect((await buffer(await cluster.store.read(digest))).equals(bytes)).toBe(true);
    expect((await verify()).damaged).toEqual([]);
    // The damaged file alone came again.
    expect(gets()).toEqual([(sent[0] ?? 0) + bytes.length, sent[1]]);
    expect((await storage.usage()).damagedCount).toBe(0);
  });

  it("keeps what was put aside until a collection", async () => {
    await storage.collect({ graceMs: 0, dryRun: false, signal });
    const { modelId, digest } = await modelOf(randomBytes(64 * KiB));
    await flipByte(fileOf(digest), 1);
    await verify();
    await repairOf(modelId);
    expect((await storage.usage()).quarantineBytes).toBe(64 * KiB);
    expect(await storage.collect({ graceMs: 0, dryRun: true, signal })).toMatchObject({ quarantineBytes: 64 * KiB });
    await storage.collect({ graceMs: 0, dryRun: false, signal });
    expect((await storage.usage()).quarantineBytes).toBe(0);
  });

  it("leaves the mark while the source has lost the bytes too, and uses them for nothing", async () => {
    const bytes = randomBytes(64 * KiB);
    const { modelId, digest, files } = await modelOf(bytes);
    const [weights] = files;
    origin.behave(weights.originPath, { status: 404 });
    await flipByte(fileOf(digest), 1);
    expect((await verify()).damaged).toHaveLength(1);
    expect(await repairOf(modelId)).toMatchObject({ state: "FAILED", error: { reason: "SOURCE_FILE_NOT_FOUND" } });
    expect((await versionOf(modelId)).damagedFiles).toEqual([weights.path]);
    expect(await storage.usage()).toMatchObject({ damagedCount: 1, damagedBytes: bytes.length });
    await expect(cluster.store.read(digest)).rejects.toMatchObject({ reason: "BLOB_NOT_FOUND" });

    // The same content from elsewhere is not taken from the store, and heals the version.
    const elsewhere = await cluster.model({ ...serve(bytes, "a"), sha256: hexOfDigest(digest) });
    const { last } = await download(service, elsewhere);
    expect(last).toMatchObject({ state: "SUCCEEDED", reusedBytes: 0, sourceBytes: bytes.length });
    expect((await versionOf(modelId)).damagedFiles).toEqual([]);

    await rm(fileOf(digest));
    const modelRefs = [`${modelId}@1`, `${elsewhere}@1`].sort();
    expect((await verify()).damaged).toMatchObject([{ digest, missing: true, modelRefs }]);
    // Whichever of the two is asked first: the one with the broken source cannot hold up the other.
    await expect
      .poll(
        async () => {
          for await (const _ of storage.verify({ signal }));
          return (await versionOf(modelId)).damagedFiles;
        },
        { timeout: 10_000 },
      )
      .toEqual([]);
    expect((await versionOf(modelId)).damagedFiles).toEqual([]);
  });

  it("tries again to repair what could not be, when it is asked for", async () => {
    const { modelId, digest, files } = await modelOf(randomBytes(64 * KiB));
    origin.behave(files[0].originPath, { status: 404 });
    await rm(fileOf(digest));
    await verify();
    const { id, state } = await repairOf(modelId);
    expect(state).toBe("FAILED");
    origin.behave(files[0].originPath, {});
    expect((await verify()).damaged).toMatchObject([{ digest, missing: true }]);
    const again = await repairOf(modelId);
    expect(again).toMatchObject({ state: "SUCCEEDED", version: 1 });
    expect(again.id).not.toBe(id);
    expect((await versionOf(modelId)).damagedFiles).toEqual([]);
  });

  it("never takes other bytes of the source for those that were lost", async () => {
    const { modelId, digest, files } = await modelOf(randomBytes(64 * KiB));
    const [weights] = files;
    origin.serve(weights.originPath, randomBytes(64 * KiB));
    await flipByte(fileOf(digest), 1);
    await verify();
    const failed = await repairOf(modelId);
    expect(failed).toMatchObject({ state: "FAILED", error: { reason: "CONTENT_MISMATCH" } });
    expect(failed.error?.message).toContain(`'${weights.path}'`);
    expect((await versionOf(modelId)).damagedFiles).toEqual([weights.path]);
    expect(await cluster.models.get(modelId)).toMatchObject({ versionCount: 1, status: "AVAILABLE" });
    // Known damage is told again, and does not break the check.
    expect((await verify()).damaged).toMatchObject([{ digest, missing: true }]);
    await cluster.models.delete(modelId, { etag: "", force: true });
    await storage.collect({ graceMs: 0, dryRun: false, signal });
    expect((await verify()).damaged).toEqual([]);
  });

  it("marks every version that names the blob", async () => {
    const shared = randomBytes(32 * KiB);
    const first = await modelOf(shared);
    const second = await modelOf(shared);
    await truncate(fileOf(first.digest), 10);
    const { damaged } = await verify();
    expect(damaged).toMatchObject([{ modelRefs: [`${first.modelId}@1`, `${second.modelId}@1`].sort() }]);
    // One download is enough for both.
    await repairOf(first.modelId);
    expect((await newestOf(second.modelId)).allowPatterns).toEqual([]);
    for (const { modelId } of [first, second]) expect((await versionOf(modelId)).damagedFiles).toEqual([]);
  });

  it("forgets a damaged blob that nothing names", async () => {
    const { modelId, digest } = await modelOf(randomBytes(32 * KiB));
    await cluster.models.delete(modelId, { etag: "", force: false });
    await flipByte(fileOf(digest), 1);
    expect((await verify()).damaged).toMatchObject([{ digest, modelRefs: [] }]);
    expect((await verify()).damaged).toEqual([]);
    expect((await storage.usage()).damagedCount).toBe(0);
  });

  it("takes no blob for damaged that cannot be read once, and nothing while the store is away", async () => {
    const { modelId, digest } = await modelOf(randomBytes(32 * KiB));
    const { store } = cluster;
    let failures = 1;
    const shaky = maintenanceOf(cluster, service, {
      store: {
        ...store,
        async verify(wanted, options) {
          if (wanted !== digest || failures-- <= 0) return store.verify(wanted, options);
          return { found: "damaged", identity: "as a disk that did not answer once" };
        },
      },
    });
    expect((await verify(shaky.storage)).damaged).toEqual([]);
    expect(failures).toBe(-1);

    const away = new DomainError("STORE_UNAVAILABLE", "the store's disk cannot be used");
    const unreachable = maintenanceOf(cluster, service, {
      store: {
        ...store,
        async verify() {
          throw away;
        },
      },
    });
    await expect(verify(unreachable.storage)).rejects.toBe(away);
    await rename(cluster.directory, `${cluster.directory}-away`);
    try {
      await expect(verify()).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    } finally {
      await rename(`${cluster.directory}-away`, cluster.directory);
    }
    expect((await versionOf(modelId)).damagedFiles).toEqual([]);
    expect((await verify()).damaged).toEqual([]);
  });

  it("settles what a process that was killed while it put a blob aside left behind", async () => {
    const { modelId, digest } = await modelOf(randomBytes(32 * KiB));
    const { store, damage } = cluster;
    await flipByte(fileOf(digest), 9);
    const check = await store.verify(digest, { signal });
    const killed = damage.declareLost(digest, async () => {
      await store.quarantine(digest, check);
      throw new Error("killed");
    });
    await expect(killed).rejects.toThrow("killed");
    // The record counts on it still; whoever looks sees that it is gone.
    expect((await versionOf(modelId)).damagedFiles).toEqual([]);
    expect((await verify()).damaged).toMatchObject([{ digest, missing: true }]);
    expect(await repairOf(modelId)).toMatchObject({ state: "SUCCEEDED" });
    expect((await verify()).damaged).toEqual([]);
  });

  it("is asked for by many at once, and each blob is put aside once", async () => {
    const { modelId, digest } = await modelOf(randomBytes(32 * KiB));
    await storage.collect({ graceMs: 0, dryRun: false, signal });
    await flipByte(fileOf(digest), 9);
    const checks = await Promise.all(Array.from({ length: 4 }, () => verify(withoutRepairs().storage)));
    const found = checks.flatMap(({ damaged }) => damaged);
    expect(new Set(found.map((each) => each.digest))).toEqual(new Set([digest]));
    expect((await storage.usage()).quarantineBytes).toBe(32 * KiB);
    expect((await versionOf(modelId)).damagedFiles).toHaveLength(1);
    await verify();
    expect(await repairOf(modelId)).toMatchObject({ state: "SUCCEEDED" });
  });

  it("goes on beside collections and downloads of the same content, and finds no damage", async () => {
    const contents = Array.from({ length: 4 }, () => randomBytes(8 * KiB));
    let going = true;
    const found: DamagedBlob[] = [];
    const collecting = (async () => {
      while (going) await storage.collect({ graceMs: 0, dryRun: false, signal });
    })();
    const verifying = (async () => {
      while (going) found.push(...(await verify()).damaged);
    })();
    const lives = Array.from({ length: 2 }, async () => {
      for (let round = 0; round < 6; round += 1) {
        const files = contents.map((bytes, index) => ({
          ...serve(bytes, `f${index}`),
          sha256: hexOfDigest(digestOf(bytes)),
        }));
        const modelId = await cluster.model(...files);
        expect((await download(service, modelId)).last).toMatchObject({ state: "SUCCEEDED" });
        for (const bytes of contents) expect(await cluster.store.stat(digestOf(bytes))).toEqual({ size: 8 * KiB });
        await cluster.models.delete(modelId, { etag: "", force: false });
      }
    });
    await Promise.all(lives).finally(() => {
      going = false;
    });
    await Promise.all([collecting, verifying]);
    expect(found).toEqual([]);
  }, 60_000);

  it("ends with whoever asked for it", async () => {
    await modelOf(randomBytes(40 * KiB * KiB));
    const stop = new AbortController();
    const messages: VerifyProgress[] = [];
    const reading = (async () => {
      for await (const message of storage.verify({ signal: stop.signal })) {
        messages.push(message);
        stop.abort();
      }
    })();
    await expect(reading).rejects.toMatchObject({ name: "AbortError" });
    expect(messages).toHaveLength(1);
    for await (const _ of storage.verify({ signal })) break;
  });
});

describe("bytes in the store's folder that no record knows", () => {
  it("are hashed before they are used, and replaced if they are others", async () => {
    const [known, foreign] = [randomBytes(64 * KiB), randomBytes(64 * KiB)];
    const files = [known, foreign].map((bytes, index) => ({
      ...serve(bytes, `f${index}`),
      sha256: hexOfDigest(digestOf(bytes)),
    }));
    for (const bytes of [known, foreign]) await mkdir(join(fileOf(digestOf(bytes)), ".."), { recursive: true });
    await writeFile(fileOf(digestOf(known)), known);
    // As long as what it is not.
    await writeFile(fileOf(digestOf(foreign)), randomBytes(64 * KiB));
    const modelId = await cluster.model(...files);
    expect((await download(service, modelId)).last).toMatchObject({ state: "SUCCEEDED", sourceBytes: 64 * KiB });
    for (const bytes of [known, foreign]) {
      expect((await buffer(await cluster.store.read(digestOf(bytes)))).equals(bytes)).toBe(true);
    }
    expect(files.map(({ originPath }) => origin.bytesOf(originPath))).toEqual([0, 64 * KiB]);
  });

  it("are replaced if they are a folder", async () => {
    const bytes = randomBytes(KiB);
    await mkdir(join(fileOf(digestOf(bytes)), "within"), { recursive: true });
    const modelId = await cluster.model({ ...serve(bytes, "a"), sha256: hexOfDigest(digestOf(bytes)) });
    expect((await download(service, modelId)).last).toMatchObject({ state: "SUCCEEDED" });
    expect((await buffer(await cluster.store.read(digestOf(bytes)))).equals(bytes)).toBe(true);
  });
});

it("a damaged blob ends a download that counted on it, which can be resumed", async () => {
  const [shared, slow] = [randomBytes(16 * KiB), randomBytes(512 * KiB)];
  await modelOf(shared);
  const digest = digestOf(shared);
  const slowFile = serve(slow, "slow");
  origin.behave(slowFile.originPath, { methods: ["GET"], bytesPerSecond: 256 * KiB });
  const modelId = await cluster.model({ ...serve(shared, "shared"), sha256: hexOfDigest(digest) }, slowFile);
  const { id } = await service.downloads.start(downloadOf(modelId));
  await watchUntil(service, id, ({ reusedBytes }) => reusedBytes === shared.length);
  await flipByte(fileOf(digest), 5);
  expect((await verify(withoutRepairs().storage, [digest])).damaged).toHaveLength(1);
  expect((await watchAll(service, id)).at(-1)).toMatchObject({ state: "FAILED", error: { reason: "BLOB_NOT_FOUND" } });
  await service.downloads.resume(id);
  expect((await watchAll(service, id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
});
