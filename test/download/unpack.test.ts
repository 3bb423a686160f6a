import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import type { DownloadsService } from "../../src/download/downloads.ts";
import { bytes } from "../sources/helpers.ts";
import { startRegistry, type TestLayer, type TestRegistry } from "../support/registry.ts";
import { tar } from "../support/tar.ts";
import { type Cluster, createCluster, download, downloadOf, watchAll } from "./support/service.ts";

const FILE_PATH = "org.cncf.model.filepath";

let cluster: Cluster;
let registry: TestRegistry;
let service: DownloadsService;
let made = 0;

beforeAll(async () => {
  [cluster, registry] = await Promise.all([createCluster(), startRegistry()]);
  service = await cluster.replica();
  service.start();
});
afterAll(async () => {
  await cluster.close();
  await registry.close();
});

const packed = (content: Uint8Array, name: string, compression = ""): TestLayer => ({
  type: `application/vnd.cncf.model.weight.v1.tar${compression}`,
  bytes: content,
  annotations: { [FILE_PATH]: name },
});
const raw = (content: Uint8Array, name: string): TestLayer => ({
  type: "application/vnd.cncf.model.weight.v1.raw",
  bytes: content,
  annotations: { [FILE_PATH]: name },
});

/** A model of an artifact of these layers, in a repository of its own. */
async function model(...layers: readonly TestLayer[]): Promise<{ id: string; repository: string }> {
  made += 1;
  const repository = `org/model-${made}`;
  registry.push(repository, "latest", { layers });
  return { id: await modelOf(repository), repository };
}

async function modelOf(repository: string, host = registry.host): Promise<string> {
  made += 1;
  const { id } = await cluster.models.create(
    {
      id: `oci/model-${made}`,
      type: "OTHER",
      displayName: "",
      description: "",
      labels: {},
      baseModelId: "",
      source: { kind: "oci", reference: `${host}/${repository}`, credential: "" },
    },
    {},
  );
  return id;
}

const sha256 = (content: Uint8Array) => `sha256:${createHash("sha256").update(content).digest("hex")}`;
const blobRequests = () => registry.registry.requests.filter(({ path }) => path.includes("/blobs/")).length;

async function filesOf(modelId: string, version = 1): Promise<Record<string, string>> {
  const { files = [] } = await cluster.models.getVersion({ modelId, version });
  return Object.fromEntries(files.map(({ path, digest }) => [path, digest]));
}

it("puts the files of archives into the version, and not the archives", async () => {
  const [small, large, deep] = [bytes(10), bytes(3_000_000, 1), bytes(1000, 2)];
  const plain = await tar(
    { name: "./", type: "directory" },
    { name: "./config.json", content: small },
    { name: "weights/", type: "directory" },
    { name: "weights/model.safetensors", content: large },
    { name: "empty.txt" },
  );
  const gzipped = gzipSync(await tar({ name: "docs/a/deep/readme.md", content: deep }));
  const zstd = zstdCompressSync(await tar({ name: `long/${"x".repeat(200)}`, content: small }));
  const { id } = await model(
    packed(plain, "weights"),
    packed(gzipped, "docs", "+gzip"),
    packed(zstd, "more", "+zstd"),
    raw(deep, "raw.bin"),
    raw(bytes(0), "raw-empty"),
  );
  const { last } = await download(service, id);
  expect(last).toMatchObject({ state: "SUCCEEDED", version: 1, totalFiles: 5, completedFiles: 5 });
  expect(last.completedBytes).toBe(last.totalBytes);
  expect(await filesOf(id)).toEqual({
    "config.json": sha256(small),
    "weights/model.safetensors": sha256(large),
    "empty.txt": sha256(bytes(0)),
    "docs/a/deep/readme.md": sha256(deep),
    [`long/${"x".repeat(200)}`]: sha256(small),
    "raw.bin": sha256(deep),
    "raw-empty": sha256(bytes(0)),
  });
  expect(await cluster.store.stat(`sha256:${createHash("sha256").update(plain).digest("hex")}`)).toBeUndefined();
  expect(await readdir(cluster.store.spoolDirectory)).toEqual([]);
});

it("fetches no archive again whose files are here", async () => {
  const archive = gzipSync(await tar({ name: "a", content: bytes(5000) }, { name: "b", content: bytes(6000) }));
  const { id, repository } = await model(packed(archive, "archive", "+gzip"));
  const former = blobRequests();
  const twin = await modelOf(repository);
  const both = await Promise.all([download(service, id), download(service, twin)]);
  expect(both.map(({ last }) => last.state)).toEqual(["SUCCEEDED", "SUCCEEDED"]);
  const before = blobRequests();
  expect(before).toBe(former + 1);
  const again = await download(service, id);
  expect(again.last).toMatchObject({ state: "SUCCEEDED", version: 1, reusedBytes: archive.length, sourceBytes: 0 });
  const other = await modelOf(repository);
  expect((await download(service, other)).last).toMatchObject({ state: "SUCCEEDED", version: 1 });
  expect(await filesOf(other)).toEqual(await filesOf(id));
  expect(blobRequests()).toBe(before);
  // A file that is lost brings the archive back.
  await cluster.store.remove((await filesOf(id)).a as `sha256:${string}`);
  expect((await download(service, id)).last).toMatchObject({
    state: "SUCCEEDED",
    version: 1,
    sourceBytes: archive.length,
  });
  expect(await cluster.store.stat((await filesOf(id)).a as `sha256:${string}`)).toEqual({ size: 5000 });
});

it.each([
  ["a path out of its folder", tar({ name: "ok" }, { name: "../evil" }), /^layer 'weights' \(sha256:.*'\.\.\/evil'/],
  ["a link", tar({ name: "l", type: "symlink", linkname: "/etc/passwd" }), /its entry 'l'.*a symbolic link/],
  ["no end", tar({ name: "a", content: bytes(5000) }).then((whole) => whole.subarray(0, 2048)), /must be whole/],
])("fails at an archive with %s, and keeps nothing of it", async (_, archive, message) => {
  const { id } = await model(packed(await archive, "weights"));
  const { last } = await download(service, id);
  expect(last).toMatchObject({ state: "FAILED", error: { reason: "FIELD_INVALID" } });
  expect(last.error?.message).toMatch(message);
  expect(await readdir(cluster.store.spoolDirectory)).toEqual([]);
});

it("unpacks after a pause what was fetched before it", async () => {
  const archive = await tar({ name: "a", content: bytes(5000, 5) }, { name: "b", content: bytes(6000, 6) });
  const { id } = await model(packed(archive, "archive"));
  const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const held = await cluster.replica({
    store: {
      ...cluster.store,
      commit: async (digest, path) => {
        reached.resolve();
        await gate.promise;
        return cluster.store.commit(digest, path);
      },
    },
  });
  onTestFinished(() => held.stop(5000));
  await service.stop(5000);
  held.start();
  const before = blobRequests();
  const { id: downloadId } = await held.downloads.start(downloadOf(id));
  await reached.promise;
  await held.downloads.pause(downloadId);
  gate.resolve();
  await held.downloads.resume(downloadId);
  expect((await watchAll(held, downloadId)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
  expect(await filesOf(id)).toEqual({ a: sha256(bytes(5000, 5)), b: sha256(bytes(6000, 6)) });
  expect(blobRequests()).toBe(before + 1);
  expect(await readdir(cluster.store.spoolDirectory)).toEqual([]);
  service = await cluster.replica();
  service.start();
});

it("takes of archives what patterns want, and fetches none whose name says that there is nothing", async () => {
  const weights = await tar({ name: "model.safetensors", content: bytes(90, 4) });
  const mixed = await tar({ name: "a/config.json", content: bytes(91) }, { name: "a/big.bin", content: bytes(92) });
  const { id } = await model(packed(weights, "model.safetensors"), packed(mixed, "a"), {
    type: "application/vnd.cncf.model.weight.v1.tar",
    bytes: await tar({ name: "b.json", content: bytes(93) }),
  });
  const wanted = { allowPatterns: ["a/*.json", "*b.json"] };
  expect((await download(service, id, wanted)).last).toMatchObject({ state: "SUCCEEDED", totalFiles: 2 });
  expect(Object.keys(await filesOf(id))).toEqual(["a/config.json", "b.json"]);
  expect((await download(service, id)).last).toMatchObject({ state: "SUCCEEDED", version: 2, totalFiles: 3 });
  expect(Object.keys(await filesOf(id, 2))).toEqual(["a/big.bin", "a/config.json", "b.json", "model.safetensors"]);
  const before = blobRequests();
  expect((await download(service, id, wanted)).last).toMatchObject({ state: "SUCCEEDED", version: 1 });
  expect(blobRequests()).toBe(before);
  const none = await download(service, id, { allowPatterns: ["a/*.txt"] });
  expect(none.last.error).toMatchObject({ reason: "SOURCE_FILE_NOT_FOUND" });
});

it("goes on with another token when the one it has ends in the middle", async () => {
  const guarded = await startRegistry({ auth: "bearer", expireAtBlob: 2 });
  onTestFinished(() => guarded.close());
  const contents = [bytes(50_000, 1), bytes(60_000, 2), bytes(70_000, 3)];
  guarded.push("org/model", "latest", { layers: contents.map((content, index) => raw(content, `part-${index}`)) });
  const { last } = await download(service, await modelOf("org/model", guarded.host));
  expect(last).toMatchObject({ state: "SUCCEEDED", completedFiles: 3 });
  expect(guarded.tokenRequests).toHaveLength(2);
});

it("refuses layers whose files clash", async () => {
  const archive = await tar({ name: "config.json", content: bytes(3) });
  const { id } = await model(packed(archive, "one"), raw(bytes(4), "config.json"));
  const { last } = await download(service, id);
  expect(last.error).toMatchObject({
    reason: "FIELD_INVALID",
    message: expect.stringMatching(/'config\.json' is there twice/),
  });
});

it("reserves room for what an archive grows to", async () => {
  const content = gzipSync(await tar({ name: "zeros", content: Buffer.alloc(50 << 20) }));
  const { id } = await model(packed(content, "weights", "+gzip"));
  const space = { capacityBytes: 1 << 30, freeBytes: 30 << 20 };
  const small = await cluster.replica({
    store: { ...cluster.store, spoolSpace: async () => space },
    timing: { parkingBackoff: { full: { baseMs: 10, maxMs: 10 }, away: { baseMs: 10, maxMs: 10 } } },
  });
  await service.stop(5000);
  small.start();
  const { id: downloadId } = await small.downloads.start(downloadOf(id));
  for await (const { waiting } of small.downloads.watch(downloadId, new AbortController().signal)) {
    if (waiting?.reason === "DISK_FULL") break;
  }
  space.freeBytes = 1 << 30;
  const last = (await watchAll(small, downloadId)).at(-1);
  expect(last).toMatchObject({ state: "SUCCEEDED" });
  expect(registry.registry.requests.filter(({ path }) => path.endsWith(sha256(content)))).toHaveLength(1);
  await small.stop(5000);
});
