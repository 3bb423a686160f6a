import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { safetensorsFile } from "../metadata/support.ts";
import { type HubRepository, startHub, type TestHub } from "../support/hub.ts";
import { noise } from "../support/model-files.ts";
import { type Cluster, createCluster, download, downloadOf, running, watchAll, watchUntil } from "./support/service.ts";

let cluster: Cluster;
let hub: TestHub;
beforeAll(async () => {
  [cluster, hub] = await Promise.all([createCluster(), startHub({ token: "t0ken" })]);
});
afterAll(() => Promise.all([cluster.close(), hub.close()]));

/** Commits a repository and registers the model of that name. */
async function model(name: string, content: HubRepository): Promise<string> {
  hub.commit(`org/${name}`, content);
  const source = {
    kind: "huggingface" as const,
    repo: `org/${name}`,
    revision: "",
    allowPatterns: [],
    ignorePatterns: [],
    endpoint: hub.endpoint,
    credential: "",
  };
  const about = { type: "LLM" as const, displayName: "", description: "", labels: {}, baseModelId: "" };
  return (await cluster.models.create({ id: `hub/${name}`, ...about, source }, {})).id;
}

const CONFIG = Buffer.from(JSON.stringify({ model_type: "llama", max_position_embeddings: 2048 }));
const WEIGHTS = safetensorsFile({ "model.embed_tokens.weight": ["BF16", 100, 20] });

it("a version has what its files and its card say", async () => {
  const modelId = await model("said", {
    files: { "config.json": CONFIG, "model.safetensors": { bytes: WEIGHTS, lfs: true, xet: true } },
    license: "mit",
    gated: true,
    tags: ["text-generation"],
    card: { base_model: "org/base" },
  });
  const service = await running(cluster);
  const { last } = await download(service, modelId, { credential: { token: "t0ken" } });
  expect(last).toMatchObject({ state: "SUCCEEDED" });
  const version = await cluster.models.getVersion({ modelId });
  expect(version.license).toBe("mit");
  expect(version.metadata).toEqual({
    format: "safetensors",
    architecture: "llama",
    parameterCount: 2000,
    precision: "bf16",
    contextLength: 2048,
    unsafeFiles: [],
    baseModels: ["org/base"],
    tags: ["safetensors", "text-generation", "license:mit"],
    gated: true,
  });
});

it.each([
  ["gpl-3.0", ["mit", "apache-2.0"], "the source's license is 'gpl-3.0'"],
  [undefined, ["mit"], "the source says no license"],
])("a license (%s) that is not among %j is refused before the first byte", async (license, allowedLicenses, words) => {
  const name = `licensed-${license ?? "not"}`;
  const modelId = await model(name, { files: { "model.safetensors": { bytes: WEIGHTS, lfs: true } }, license });
  const service = await running(cluster, { allowedLicenses });
  const { last } = await download(service, modelId);
  expect(last).toMatchObject({ state: "FAILED", completedBytes: 0, error: { reason: "LICENSE_NOT_ALLOWED" } });
  expect(last.error?.message).toContain(words);
  expect(last.error?.message).toContain(`the operator allows ${allowedLicenses.join(", ")} alone`);
  expect(hub.hub.requests.filter(({ path }) => path.startsWith(`/org/${name}/resolve/`))).toEqual([]);
});

it.each([
  ["MIT", ["mit"]],
  [undefined, ["unknown"]],
])("a license (%s) that is among %j is downloaded", async (license, allowedLicenses) => {
  const files = { "config.json": CONFIG };
  const service = await running(cluster, { allowedLicenses });
  const { last } = await download(service, await model(`allowed-${allowedLicenses}`, { files, license }));
  expect(last.state).toBe("SUCCEEDED");
});

it("signatures that expire while a file comes are asked for anew", async () => {
  const bytes = Buffer.concat([...noise(24 << 20, 5)]);
  const files = { "model.bin": { bytes, lfs: true, behavior: { bytesPerSecond: 8 << 20 } } };
  const modelId = await model("expiring", { files });
  const service = await running(cluster);
  const { id } = await service.downloads.start(downloadOf(modelId));
  await watchUntil(service, id, ({ completedBytes }) => completedBytes > 0);
  const asked = () => hub.hub.requests.filter(({ path }) => path.startsWith("/org/expiring/resolve/")).length;
  const before = asked();
  hub.expireSignatures();
  const last = (await watchAll(service, id)).at(-1);
  expect(last).toMatchObject({ state: "SUCCEEDED", completedBytes: bytes.length });
  expect(asked()).toBeGreaterThan(before);
});

it("patterns of a call are part of what is joined", async () => {
  const files = { "config.json": CONFIG, "model.safetensors": { bytes: WEIGHTS, lfs: true } };
  const modelId = await model("patterns", { files });
  const { jobs } = cluster;
  const all = await jobs.start(downloadOf(modelId));
  const some = await jobs.start(downloadOf(modelId, { ignorePatterns: ["*.safetensors", "*.bin"] }));
  const again = await jobs.start(downloadOf(modelId, { ignorePatterns: ["*.bin", "*.safetensors"] }));
  expect(some.download.id).not.toBe(all.download.id);
  expect(again).toMatchObject({ created: false, download: { id: some.download.id } });
  const service = await running(cluster);
  await Promise.all([all, some].map(({ download }) => watchAll(service, download.id)));
  const { version = 0 } = await jobs.get(some.download.id);
  const { files: kept } = await cluster.models.getVersion({ modelId, version });
  expect(kept?.map(({ path }) => path)).toEqual(["config.json"]);
});

it("files that did not change are not asked for again, those that only git's hash tells included", async () => {
  const before = {
    "config.json": CONFIG,
    "notes.txt": Buffer.from("one"),
    "w.bin": { bytes: randomBytes(5000), lfs: true },
  };
  const modelId = await model("again", { files: before });
  const service = await running(cluster);
  expect((await download(service, modelId)).last).toMatchObject({ state: "SUCCEEDED", version: 1 });
  hub.commit("org/again", { files: { ...before, "notes.txt": Buffer.from("two") } });
  const asked = hub.hub.requests.length;
  const { last } = await download(service, modelId);
  expect(last).toMatchObject({ state: "SUCCEEDED", version: 2, sourceBytes: 3, reusedBytes: CONFIG.length + 5000 });
  const paths = hub.hub.requests.slice(asked).map(({ path }) => path);
  expect(paths.filter((path) => path.includes("/resolve/") && !path.endsWith("/notes.txt"))).toEqual([]);
});
