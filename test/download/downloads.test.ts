import { createHash, randomBytes } from "node:crypto";
import { readdir, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Progress } from "../../src/domain/download.ts";
import { DomainError } from "../../src/domain/errors.ts";
import type { BlobStore, Space } from "../../src/domain/ports/blob-store.ts";
import { digestOf } from "../store/contract.ts";
import { type Behavior, startOrigin, type TestOrigin } from "../support/origin.ts";
import { type Cluster, createCluster, download, downloadOf, watchAll, watchUntil } from "./support/service.ts";

const MiB = 1024 * 1024;
const SLOW = 4 * MiB;

let origin: TestOrigin;
let cluster: Cluster;
let served = 0;

beforeAll(async () => {
  origin = await startOrigin();
  cluster = await createCluster();
});
afterAll(async () => {
  await cluster.close();
  await origin.close();
});

function serve(body: Uint8Array, behavior: Behavior = {}): { url: string; path: string; sha256: string } {
  served += 1;
  const path = `/file-${served}`;
  const url = origin.serve(path, body, { methods: ["GET"], ...behavior });
  return { url, path, sha256: createHash("sha256").update(body).digest("hex") };
}

function getsOf(path: string): number {
  return origin.requestsOf(path).filter(({ method }) => method === "GET").length;
}

function* repeated(start: number, end: number): Iterable<Uint8Array> {
  const chunk = new Uint8Array(MiB);
  for (let at = start; at < end; at += chunk.length) yield chunk.subarray(0, end - at);
}

async function bytesOfVersion(modelId: string): Promise<Map<string, Buffer>> {
  const { files = [] } = await cluster.models.getVersion({ modelId });
  return new Map(
    await Promise.all(
      files.map(async ({ path, digest }) => [path, await buffer(await cluster.store.read(digest))] as const),
    ),
  );
}

describe("a download", () => {
  it("makes a version of several files, with duplicates and one of no bytes", async () => {
    const service = await cluster.replica();
    service.start();
    const weights = randomBytes(3 * MiB);
    const config = randomBytes(700);
    const first = serve(weights);
    const second = serve(weights);
    const modelId = await cluster.model(
      { url: first.url, path: "weights.bin", sha256: first.sha256 },
      { url: second.url, path: "copy/weights.bin", sha256: second.sha256 },
      { url: serve(config).url, path: "config.json" },
      { url: serve(new Uint8Array()).url, path: "empty" },
    );
    const { started, messages, last } = await download(service, modelId);
    expect(started.state).toBe("QUEUED");
    expect(last).toMatchObject({
      state: "SUCCEEDED",
      version: 1,
      completedBytes: 2 * weights.length + config.length,
      totalBytes: 2 * weights.length + config.length,
      sourceBytes: weights.length + config.length,
      reusedBytes: weights.length,
      completedFiles: 4,
      totalFiles: 4,
      attempt: 1,
    });
    expect(messages.every(({ downloadId }) => downloadId === started.id)).toBe(true);
    const expected = {
      "config.json": config,
      "copy/weights.bin": weights,
      empty: Buffer.alloc(0),
      "weights.bin": weights,
    };
    const bodies = await bytesOfVersion(modelId);
    expect([...bodies.keys()].sort()).toEqual(Object.keys(expected).sort());
    for (const [path, body] of Object.entries(expected)) expect(bodies.get(path)?.equals(body)).toBe(true);
    expect(getsOf(second.path)).toBe(0);
    expect(await cluster.models.get(modelId)).toMatchObject({ status: "AVAILABLE", latestVersion: 1 });
    expect(await readdir(cluster.store.spoolDirectory)).toEqual([]);
    await service.stop(1000);
  });

  it("takes what the store has, and finds the version that exists", async () => {
    const service = await cluster.replica();
    service.start();
    const bytes = randomBytes(MiB);
    const { url, path, sha256 } = serve(bytes);
    const modelId = await cluster.model({ url, path: "a", sha256 });
    expect((await download(service, modelId)).last).toMatchObject({ state: "SUCCEEDED", version: 1 });
    const again = await download(service, modelId);
    expect(again.last).toMatchObject({ state: "SUCCEEDED", version: 1, reusedBytes: MiB, sourceBytes: 0 });
    expect(getsOf(path)).toBe(1);
    // Somebody took the blob out of the store's folder.
    await cluster.store.remove(digestOf(bytes));
    expect((await download(service, modelId)).last).toMatchObject({ state: "SUCCEEDED", version: 1, reusedBytes: 0 });
    expect(await cluster.store.stat(digestOf(bytes))).toEqual({ size: MiB });
    // Or cut it short there.
    await truncate(join(cluster.directory, "blobs", "sha256", sha256.slice(0, 2), sha256), 1000);
    expect((await download(service, modelId)).last).toMatchObject({ state: "SUCCEEDED", version: 1, reusedBytes: 0 });
    expect((await bytesOfVersion(modelId)).get("a")?.equals(bytes)).toBe(true);
    await service.stop(1000);
  });

  it("never shows bytes that do not match their digest", async () => {
    const service = await cluster.replica();
    service.start();
    const { url, sha256 } = serve(randomBytes(MiB), { corrupt: true });
    const good = serve(randomBytes(MiB));
    const modelId = await cluster.model({ url, path: "bad", sha256 }, { url: good.url, path: "good" });
    const { last } = await download(service, modelId);
    expect(last).toMatchObject({ state: "FAILED", attempt: 2, error: { reason: "CONTENT_MISMATCH" } });
    expect(last.error?.message).toContain("'bad'");
    await expect(cluster.models.getVersion({ modelId })).rejects.toMatchObject({ reason: "VERSION_NOT_FOUND" });
    expect(await cluster.models.get(modelId)).toMatchObject({ status: "FAILED" });
    expect(await cluster.store.stat(`sha256:${sha256}`)).toBeUndefined();
    await service.stop(1000);
  });

  it("says which error ended it", async () => {
    const service = await cluster.replica();
    service.start();
    const modelId = await cluster.model({ url: `${origin.base}/nothing`, path: "a" });
    const { started, last } = await download(service, modelId);
    expect(last).toMatchObject({ state: "FAILED", error: { reason: "SOURCE_FILE_NOT_FOUND" } });
    expect(await service.downloads.get(started.id)).toMatchObject({ state: "FAILED", error: last.error });
    // Whoever comes later hears the same.
    expect((await watchAll(service, started.id)).at(-1)).toMatchObject({ state: "FAILED", error: last.error });
    await service.stop(1000);
  });

  it("begins only what can be downloaded", async () => {
    const service = await cluster.replica();
    await expect(service.downloads.start(downloadOf("no/such"))).rejects.toMatchObject({ reason: "MODEL_NOT_FOUND" });
    const uploaded = { id: "uploaded", type: "OTHER", displayName: "", description: "", labels: {} } as const;
    await cluster.models.create({ ...uploaded, baseModelId: "", source: { kind: "upload" } }, {});
    await expect(service.downloads.start(downloadOf("uploaded"))).rejects.toMatchObject({ reason: "STATE_INVALID" });
    await expect(watchAll(service, "0190a5a0-0000-7000-8000-000000000000")).rejects.toMatchObject({
      reason: "DOWNLOAD_NOT_FOUND",
    });
  });

  it("is joined by a second call, and outlives those who watch it", async () => {
    const service = await cluster.replica();
    service.start();
    const { url, path } = serve(randomBytes(2 * MiB), { bytesPerSecond: SLOW });
    const modelId = await cluster.model({ url, path: "a" });
    const first = await service.downloads.start(downloadOf(modelId));
    const second = await service.downloads.start(downloadOf(modelId));
    expect(second.id).toBe(first.id);
    const gone = new AbortController();
    const watched: Progress[] = [];
    const leaving = (async () => {
      for await (const progress of service.downloads.watch(first.id, gone.signal)) {
        watched.push(progress);
        if (progress.completedBytes > 0) gone.abort();
      }
    })();
    const all = await Promise.all([watchAll(service, first.id), watchAll(service, first.id), leaving]);
    expect(watched.at(-1)?.state).toBe("TRANSFERRING");
    for (const messages of all.slice(0, 2)) expect(messages?.at(-1)).toMatchObject({ state: "SUCCEEDED", version: 1 });
    expect(getsOf(path)).toBe(1);
    await service.stop(1000);
  });

  it("waits for another one that gets the same blob, and reuses it", async () => {
    const service = await cluster.replica();
    service.start();
    const bytes = randomBytes(2 * MiB);
    const one = serve(bytes, { bytesPerSecond: SLOW });
    const two = serve(bytes, { bytesPerSecond: SLOW });
    const models = [
      await cluster.model({ url: one.url, path: "a", sha256: one.sha256 }),
      await cluster.model({ url: two.url, path: "b", sha256: two.sha256 }),
    ];
    const ended = await Promise.all(models.map((modelId) => download(service, modelId)));
    expect(ended.map(({ last }) => last.state)).toEqual(["SUCCEEDED", "SUCCEEDED"]);
    expect(getsOf(one.path) + getsOf(two.path)).toBe(1);
    expect(ended.map(({ last }) => last.reusedBytes).sort()).toEqual([0, 2 * MiB].sort());
    await service.stop(1000);
  });
});

describe("the limits and proofs of a call", () => {
  it("send a token along while the job runs, and keep it nowhere", async () => {
    const service = await cluster.replica();
    service.start();
    const { url, path } = serve(randomBytes(1000));
    const modelId = await cluster.model({ url, path: "a" });
    const { started } = await download(service, modelId, { credential: { token: "s3cret-of-the-call" } });
    expect(origin.requestsOf(path).map(({ headers }) => headers.authorization)).toContain("Bearer s3cret-of-the-call");
    expect(JSON.stringify(await cluster.jobs.get(started.id))).not.toContain("s3cret");
    const before = origin.requestsOf(path).length;
    await download(service, modelId);
    const later = origin.requestsOf(path).slice(before);
    expect(later.length).toBeGreaterThan(0);
    expect(later.every(({ headers }) => headers.authorization === undefined)).toBe(true);
    await service.stop(1000);
  });

  it("hold a download back to its own rate, and not others", async () => {
    const service = await cluster.replica();
    service.start();
    const [slow, fast] = [serve(randomBytes(2 * MiB)), serve(randomBytes(2 * MiB))];
    const ended: string[] = [];
    const run = async (name: string, url: string, rateLimit?: number) => {
      const { last } = await download(service, await cluster.model({ url, path: "a" }), { rateLimit });
      expect(last.state).toBe("SUCCEEDED");
      ended.push(name);
    };
    const begin = performance.now();
    await Promise.all([run("slow", slow.url, MiB), run("fast", fast.url)]);
    expect(ended).toEqual(["fast", "slow"]);
    expect(performance.now() - begin).toBeGreaterThan(1500);
    await service.stop(1000);
  });
});

describe("while the database is away now and then", () => {
  it("a download waits for it at every step, even if an answer was lost", async () => {
    const away = new DomainError("DATABASE_UNAVAILABLE", "the database is away");
    const refused = new Set<string>();
    const lost = new Set<string>();
    /** Refuses the first call of each kind, and does the second without an answer. */
    const shaky =
      <Arguments extends unknown[], Result>(name: string, call: (...args: Arguments) => Promise<Result>) =>
      async (...args: Arguments): Promise<Result> => {
        if (!refused.has(name)) {
          refused.add(name);
          throw away;
        }
        const result = await call(...args);
        if (lost.has(name)) return result;
        lost.add(name);
        throw away;
      };
    const { jobs } = cluster;
    const service = await cluster.replica({
      jobs: {
        ...jobs,
        claim: shaky("claim", async (owner, limit, leaseMs) =>
          // A claim whose answer is lost would be held until its lease ends.
          lost.has("claim") ? jobs.claim(owner, limit, leaseMs) : [],
        ),
        renew: shaky("renew", jobs.renew),
        advance: shaky("advance", jobs.advance),
        reuse: shaky("reuse", jobs.reuse),
        admit: shaky("admit", jobs.admit),
        publish: shaky("publish", jobs.publish),
        saveProgress: shaky("saveProgress", jobs.saveProgress),
      },
    });
    service.start();
    const { url, path, sha256 } = serve(randomBytes(MiB));
    const modelId = await cluster.model({ url, path: "a", sha256 }, { url: serve(randomBytes(10)).url, path: "b" });
    expect((await download(service, modelId)).last).toMatchObject({ state: "SUCCEEDED", version: 1 });
    expect([...lost].sort()).toEqual(expect.arrayContaining(["admit", "advance", "claim", "publish", "reuse"]));
    expect(getsOf(path)).toBe(1);
    await service.stop(1000);
  });
});

describe("progress", () => {
  it("begins with a snapshot, never goes back, comes at most ten times a second, and ends with the end", async () => {
    const service = await cluster.replica();
    service.start();
    const files = Array.from({ length: 20 }, () => serve(randomBytes(MiB / 4), { bytesPerSecond: MiB / 2 }));
    const modelId = await cluster.model(...files.map(({ url }, index) => ({ url, path: `f${index}` })));
    const begin = performance.now();
    const { messages } = await download(service, modelId);
    const seconds = (performance.now() - begin) / 1000;
    expect(messages.length).toBeGreaterThan(4);
    expect(messages.length).toBeLessThanOrEqual(seconds * 10 + 2);
    const counted = messages.map(({ completedBytes }) => completedBytes);
    expect(counted).toEqual([...counted].sort((a, b) => a - b));
    expect(messages.slice(0, -1).some(({ state }) => state === "SUCCEEDED")).toBe(false);
    expect(messages.at(-1)).toMatchObject({ state: "SUCCEEDED", completedFiles: 20, bytesPerSecond: 0 });
    const transferring = messages.filter(({ state, bytesPerSecond }) => state === "TRANSFERRING" && bytesPerSecond > 0);
    expect(transferring.length).toBeGreaterThan(0);
    expect(transferring.every(({ etaMs }) => etaMs !== undefined)).toBe(true);
    // Taken together, the messages tell how every file ended.
    const told = new Map(messages.flatMap((message) => message.files.map((file) => [file.path, file] as const)));
    expect([...told.values()].map(({ state, completedBytes }) => [state, completedBytes])).toEqual(
      Array.from({ length: 20 }, () => ["COMPLETE", MiB / 4]),
    );
    // While files wait for their turn, nothing is told of them.
    expect(messages.some((message) => message.totalFiles === 20 && message.files.length < 20)).toBe(true);
    await service.stop(1000);
  });

  it("of a download is told by other replicas too", async () => {
    const owner = await cluster.replica();
    const other = await cluster.replica();
    owner.start();
    const { url } = serve(randomBytes(3 * MiB), { bytesPerSecond: SLOW });
    const modelId = await cluster.model({ url, path: "a" });
    const { id } = await owner.downloads.start(downloadOf(modelId));
    const messages = await watchAll(other, id);
    expect(messages.some(({ state, completedBytes }) => state === "TRANSFERRING" && completedBytes > 0)).toBe(true);
    expect(messages.flatMap(({ files }) => files).map(({ path }) => path)).toContain("a");
    expect(messages.at(-1)).toMatchObject({ state: "SUCCEEDED", version: 1, completedBytes: 3 * MiB });
    expect(messages.flatMap(({ files }) => files).at(-1)).toMatchObject({ state: "COMPLETE", completedBytes: 3 * MiB });
    await owner.stop(1000);
  });

  it("of a download that is deleted ends as cancelled, at its owner and elsewhere", async () => {
    const owner = await cluster.replica();
    const other = await cluster.replica();
    owner.start();
    const { url } = serve(randomBytes(4 * MiB), { bytesPerSecond: MiB });
    const modelId = await cluster.model({ url, path: "a" });
    const { id } = await owner.downloads.start(downloadOf(modelId));
    await watchUntil(owner, id, ({ completedBytes }) => completedBytes > 0);
    // However the id is spelled.
    const watching = [watchAll(owner, id.toUpperCase()), watchAll(other, id)];
    await watchUntil(other, id, ({ state }) => state === "TRANSFERRING");
    await cluster.models.delete(modelId, { etag: "", force: true });
    for (const messages of await Promise.all(watching)) expect(messages.at(-1)?.state).toBe("CANCELLED");
    await owner.stop(1000);
  });

  it("is not told any more once the service stops, not even to those who come just then", async () => {
    const service = await cluster.replica();
    const { id } = await service.downloads.start(downloadOf(await cluster.model({ url: serve(randomBytes(1)).url })));
    const watching = expect(watchAll(service, id)).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
    await service.stop(1000);
    await watching;
    await service.downloads.cancel(id);
  });
});

describe("owners", () => {
  it("cancel within a second, from any replica", async () => {
    const owner = await cluster.replica();
    const other = await cluster.replica();
    owner.start();
    const { url, path } = serve(randomBytes(4 * MiB), { bytesPerSecond: MiB });
    const modelId = await cluster.model({ url, path: "a" });
    const { id } = await owner.downloads.start(downloadOf(modelId));
    await watchUntil(owner, id, ({ completedBytes }) => completedBytes > 0);
    const watching = watchAll(owner, id);
    const begin = performance.now();
    expect(await other.downloads.cancel(id)).toMatchObject({ state: "CANCELLED" });
    expect((await watching).at(-1)).toMatchObject({ state: "CANCELLED" });
    // A second by design; more only where the machine is busy.
    expect(performance.now() - begin).toBeLessThan(2500);
    expect(await other.downloads.cancel(id)).toMatchObject({ state: "CANCELLED" });
    // The source is left alone before it has sent everything.
    let sent = -1;
    const goesOn = () => {
      const before = sent;
      sent = origin.bytesOf(path);
      return sent > before;
    };
    await expect.poll(goesOn, { interval: 300 }).toBe(false);
    expect(sent).toBeLessThan(4 * MiB);
    await owner.stop(1000);
  });

  it("park their downloads, and the next one goes on where they were", async () => {
    const first = await cluster.replica();
    first.start();
    const bytes = randomBytes(4 * MiB);
    const { url, path } = serve(bytes, { bytesPerSecond: SLOW });
    const modelId = await cluster.model({ url, path: "a" });
    const { id } = await first.downloads.start(downloadOf(modelId));
    await watchUntil(first, id, ({ completedBytes }) => completedBytes > MiB);
    const watching = expect(watchAll(first, id)).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
    await first.stop(5000);
    await watching;
    expect(await cluster.jobs.get(id)).toMatchObject({ state: "QUEUED" });
    const second = await cluster.replica();
    second.start();
    expect((await watchAll(second, id)).at(-1)).toMatchObject({ state: "SUCCEEDED", attempt: 2, sourceBytes: 4 * MiB });
    expect(origin.bytesOf(path)).toBeLessThan(4 * MiB + 512 * 1024);
    expect((await bytesOfVersion(modelId)).get("a")?.equals(bytes)).toBe(true);
    await second.stop(1000);
  });

  it("that lost their lease stop, and harm nothing", async () => {
    // The first owner neither renews its lease nor hears that it lost it: it transfers to the end.
    const first = await cluster.replica({ timing: { leaseMs: 300, renewMs: 60_000, pollMs: 60_000 } });
    first.start();
    const bytes = randomBytes(4 * MiB);
    const { url } = serve(bytes, { bytesPerSecond: SLOW });
    const modelId = await cluster.model({ url, path: "a" });
    const { id } = await first.downloads.start(downloadOf(modelId));
    await watchUntil(first, id, ({ completedBytes }) => completedBytes > MiB);
    const second = await cluster.replica();
    second.start();
    expect((await watchAll(second, id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
    expect((await bytesOfVersion(modelId)).get("a")?.equals(bytes)).toBe(true);
    await second.stop(1000);
    await first.stop(1000);
    expect(await cluster.jobs.get(id)).toMatchObject({ state: "SUCCEEDED", version: 1 });
  });

  it("leave what they have no room for to others", async () => {
    const service = await cluster.replica({ maxDownloads: 1 });
    service.start();
    const slow = serve(randomBytes(MiB), { bytesPerSecond: MiB / 2 });
    const [one, two] = [
      await cluster.model({ url: slow.url, path: "a" }),
      await cluster.model({ url: slow.url, path: "b" }),
    ];
    const first = await service.downloads.start(downloadOf(one));
    await watchUntil(service, first.id, ({ state }) => state === "TRANSFERRING");
    const second = await service.downloads.start(downloadOf(two));
    await watchUntil(service, first.id, ({ completedBytes }) => completedBytes > 0);
    expect(await service.downloads.get(second.id)).toMatchObject({ state: "QUEUED" });
    await watchAll(service, first.id);
    expect((await watchAll(service, second.id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
    await service.stop(1000);
  });
});

describe("a full disk", () => {
  function withSpace(space: Space): BlobStore {
    return { ...cluster.store, spoolSpace: async () => space };
  }

  it("is found before the first byte, and the error says what is needed and free", async () => {
    const store = withSpace({ capacityBytes: 100 * MiB, freeBytes: 3 * MiB });
    const service = await cluster.replica({ store, headroom: { bytes: MiB } });
    service.start();
    const { url, path } = serve(randomBytes(2 * MiB + 1));
    const { last } = await download(service, await cluster.model({ url, path: "a" }));
    expect(last).toMatchObject({ state: "FAILED", error: { reason: "DISK_FULL" } });
    expect(last.error?.message).toContain("2.0 MiB needed, 3.0 MiB free; 1.0 MiB must stay free");
    expect(last.error?.metadata).toMatchObject({ reserved_bytes: "0", headroom_bytes: String(MiB) });
    expect(getsOf(path)).toBe(0);
    await service.stop(1000);
  });

  it("is not filled by a file whose size nobody says", async () => {
    const { spoolDirectory } = cluster.store;
    /** A disk of 20 MiB that holds the parts alone. */
    const space = async () => {
      const names = await readdir(spoolDirectory, { recursive: true });
      const sizes = names.map(async (name) => (await stat(join(spoolDirectory, name))).size);
      return { freeBytes: 20 * MiB - (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0) };
    };
    const service = await cluster.replica({ store: { ...cluster.store, spoolSpace: space }, headroom: { bytes: MiB } });
    service.start();
    const endless = { size: 2 ** 40, read: repeated };
    const url = origin.serve("/endless", endless, { chunked: true, ranges: "ignore" });
    const { id } = await service.downloads.start(downloadOf(await cluster.model({ url, path: "a" })));
    const parked = await watchUntil(service, id, ({ waiting }) => waiting?.reason === "DISK_FULL");
    expect(parked.completedBytes).toBeLessThan(40 * MiB);
    await service.downloads.cancel(id);
    await service.stop(1000);
  });

  it("counts what running downloads will take", async () => {
    const store = withSpace({ capacityBytes: 100 * MiB, freeBytes: 3 * MiB });
    const service = await cluster.replica({ store });
    service.start();
    const slow = serve(randomBytes(2 * MiB), { bytesPerSecond: MiB });
    const first = await service.downloads.start(downloadOf(await cluster.model({ url: slow.url, path: "a" })));
    await watchUntil(service, first.id, ({ state }) => state === "TRANSFERRING");
    const { last } = await download(service, await cluster.model({ url: serve(randomBytes(2 * MiB)).url, path: "b" }));
    expect(last.error).toMatchObject({ reason: "DISK_FULL", message: expect.stringContaining("reserved") });
    expect((await watchAll(service, first.id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
    await service.stop(1000);
  });

  it("counts once more what has to come again", async () => {
    const store = withSpace({ capacityBytes: 100 * MiB, freeBytes: 3 * MiB });
    const service = await cluster.replica({ store });
    service.start();
    const body = randomBytes(2 * MiB);
    const { url, sha256 } = serve(body, { corrupt: true });
    const slow = serve(body, { bytesPerSecond: MiB });
    const modelId = await cluster.model({ url, path: "a", sha256, mirrors: [slow.url] });
    const { id } = await service.downloads.start(downloadOf(modelId));
    await watchUntil(service, id, ({ attempt }) => attempt === 2);
    const { last } = await download(service, await cluster.model({ url: serve(randomBytes(2 * MiB)).url, path: "b" }));
    expect(last.error).toMatchObject({ reason: "DISK_FULL", message: expect.stringContaining("reserved") });
    expect((await watchAll(service, id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
    await service.stop(1000);
  });
});
