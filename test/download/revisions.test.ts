import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Digest } from "../../src/domain/digest.ts";
import type { DownloadsService } from "../../src/download/downloads.ts";
import { digestOf } from "../store/contract.ts";
import { maintenanceOf } from "../store/maintenance-of.ts";
import { startHub, type TestHub } from "../support/hub.ts";
import { type Cluster, createCluster, download, watchAll } from "./support/service.ts";

const KiB = 1024;
const signal = new AbortController().signal;

let hub: TestHub;
let cluster: Cluster;
let service: DownloadsService;

beforeAll(async () => {
  [hub, cluster] = await Promise.all([startHub(), createCluster()]);
  service = await cluster.replica();
  service.start();
});
afterAll(async () => {
  await service.stop(1000);
  await cluster.close();
  await hub.close();
});

const lfs = (bytes: Uint8Array) => ({ bytes, lfs: true });

async function modelOf(repo: string): Promise<string> {
  const source = {
    kind: "huggingface",
    repo,
    revision: "",
    allowPatterns: [],
    ignorePatterns: [],
    credential: "",
  } as const;
  const rest = { type: "LLM", displayName: "", description: "", labels: {}, baseModelId: "" } as const;
  const { id } = await cluster.models.create({ id: repo, ...rest, source: { ...source, endpoint: hub.endpoint } }, {});
  return id;
}

async function digestsOf(modelId: string, version: number): Promise<Map<string, Digest>> {
  const { files = [] } = await cluster.models.getVersion({ modelId, version });
  return new Map(files.map(({ path, digest }) => [path, digest]));
}

it("a new revision downloads only what changed, and shares the rest", async () => {
  const [same, twice, old, changed] = [300, 200, 100, 150].map((size) => randomBytes(size * KiB)) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  hub.commit("org/shared", { files: { same: lfs(same), twice: lfs(twice), changes: lfs(old) } }, ["main"]);
  const modelId = await modelOf("org/shared");
  expect((await download(service, modelId)).last).toMatchObject({
    version: 1,
    sourceBytes: 600 * KiB,
    reusedBytes: 0,
  });
  const second = { same: lfs(same), twice: lfs(twice), "twice-again": lfs(twice), changes: lfs(changed) };
  hub.commit("org/shared", { files: second }, ["main"]);
  const before = (await cluster.blobs.usage()).blobBytes;
  const { last } = await download(service, modelId);
  expect(last).toMatchObject({
    version: 2,
    sourceBytes: 150 * KiB,
    // The file that goes by two names counts for each.
    reusedBytes: 700 * KiB,
    completedBytes: 850 * KiB,
    totalBytes: 850 * KiB,
  });
  expect((await cluster.blobs.usage()).blobBytes).toBe(before + 150 * KiB);
  const [first, next] = [await digestsOf(modelId, 1), await digestsOf(modelId, 2)];
  expect(next.get("same")).toBe(first.get("same"));
  expect(next.get("changes")).not.toBe(first.get("changes"));

  await cluster.models.deleteVersion(modelId, 1, "");
  const { storage } = maintenanceOf(cluster, service);
  const collected = await storage.collect({ graceMs: 0, dryRun: false, signal });
  expect(collected.blobs).toEqual([{ digest: digestOf(old), size: 100 * KiB }]);
});

it("damage is repaired from the revision that the version was made from", async () => {
  const [old, changed] = [randomBytes(64 * KiB), randomBytes(64 * KiB)];
  const commit = hub.commit("org/moved", { files: { weights: lfs(old), other: lfs(randomBytes(KiB)) } }, ["main"]);
  const modelId = await modelOf("org/moved");
  await download(service, modelId);
  hub.commit("org/moved", { files: { weights: lfs(changed) } }, ["main"]);
  await cluster.store.remove(digestOf(old));
  const { storage } = maintenanceOf(cluster, service);
  for await (const _ of storage.verify({ signal })) {
    // To its end.
  }
  const [repair] = (await service.downloads.list({ size: 1, token: "" })).items;
  expect(repair).toMatchObject({ modelId, revision: commit, allowPatterns: ["weights"] });
  const last = (await watchAll(service, repair?.id ?? "")).at(-1);
  expect(last).toMatchObject({ state: "SUCCEEDED", version: 1, sourceBytes: 64 * KiB, totalFiles: 1 });
  expect(await cluster.store.stat(digestOf(old))).toEqual({ size: 64 * KiB });
  expect(await cluster.models.getVersion({ modelId })).toMatchObject({ version: 1, damagedFiles: [] });
});
