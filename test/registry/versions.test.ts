import { afterAll, beforeAll, expect, test } from "vitest";
import {
  digest,
  eventsAfter,
  newModel,
  openRegistry,
  publishVersion,
  sequenceOf,
  startAndClaim,
  type TestRegistry,
} from "./open-registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await openRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

const reason = (expected: string) => expect.objectContaining({ reason: expected });
const files = (character: string) => [{ path: "model.bin", size: 4, digest: digest(character) }];

/** A model with versions 1 to `count`. */
async function modelWith(id: string, count: number): Promise<void> {
  await registry.models.create(newModel(id), {});
  for (const character of "abcdef".slice(0, count)) await publishVersion(registry, id, files(character));
}

test("a reference names a version by number, by alias, or the newest", async () => {
  await modelWith("Org/Referred", 3);
  await registry.models.setAlias("org/referred", "Production", 2);
  const numbers = async (ref: object) => {
    const { model, version } = await registry.models.resolve({ modelId: "org/REFERRED", ...ref });
    expect(model.id).toBe("Org/Referred");
    return version?.version;
  };
  expect(await numbers({})).toBe(3);
  expect(await numbers({ version: 1 })).toBe(1);
  expect(await numbers({ alias: "production" })).toBe(2);
  expect((await registry.models.getVersion({ modelId: "Org/Referred", version: 1 })).files).toEqual(files("a"));
  await expect(registry.models.resolve({ modelId: "Org/Referred", version: 9 })).rejects.toEqual(
    reason("VERSION_NOT_FOUND"),
  );
  await expect(registry.models.resolve({ modelId: "Org/Referred", alias: "x" })).rejects.toEqual(
    reason("ALIAS_NOT_FOUND"),
  );
  await expect(registry.models.resolve({ modelId: "nobody" })).rejects.toEqual(reason("MODEL_NOT_FOUND"));
});

test("a model without versions is found without one", async () => {
  await registry.models.create(newModel("bare"), {});
  expect(await registry.models.resolve({ modelId: "bare" })).toEqual({ model: await registry.models.get("bare") });
  await expect(registry.models.getVersion({ modelId: "bare" })).rejects.toEqual(reason("VERSION_NOT_FOUND"));
  expect((await registry.models.listVersions("bare", { size: 5, token: "" })).items).toEqual([]);
  await expect(registry.models.listVersions("nobody", { size: 5, token: "" })).rejects.toEqual(
    reason("MODEL_NOT_FOUND"),
  );
});

test("versions are listed newest first, without their files", async () => {
  await modelWith("listed", 5);
  const first = await registry.models.listVersions("listed", { size: 2, token: "" });
  expect(first.items.map(({ version }) => version)).toEqual([5, 4]);
  expect(first.items[0]?.files).toBeUndefined();
  const second = await registry.models.listVersions("LISTED", { size: 2, token: first.nextToken });
  const third = await registry.models.listVersions("listed", { size: 2, token: second.nextToken });
  expect([...second.items, ...third.items].map(({ version }) => version)).toEqual([3, 2, 1]);
  expect(third).toMatchObject({ nextToken: "", totalSize: 5, sequence: first.sequence });
});

test("only pins and labels change, guarded by the etag", async () => {
  await modelWith("pinned", 1);
  const { etag } = await registry.models.getVersion({ modelId: "pinned" });
  const before = await sequenceOf(registry.sql);
  const changed = await registry.models.updateVersion("PINNED", 1, { pinned: true }, etag);
  expect(changed).toMatchObject({ pinned: true, labels: {} });
  expect(changed.etag).not.toBe(etag);
  await expect(registry.models.updateVersion("pinned", 1, { pinned: false }, etag)).rejects.toEqual(
    reason("ETAG_MISMATCH"),
  );
  expect(await registry.models.updateVersion("pinned", 1, { pinned: true, labels: {} }, "")).toEqual(changed);
  await registry.models.updateVersion("pinned", 1, { labels: { stage: "beta" } }, "");
  const events = await eventsAfter(registry.sql, before);
  expect(events.map(({ kind, noun }) => `${noun} ${kind}`)).toEqual(["version UPDATED", "version UPDATED"]);
  await expect(registry.models.updateVersion("pinned", 2, {}, "")).rejects.toEqual(reason("VERSION_NOT_FOUND"));
});

test("a version goes when nothing names it, and its number is not used again", async () => {
  await modelWith("shrinking", 2);
  await registry.models.setAlias("shrinking", "stable", 2);
  await expect(registry.models.deleteVersion("shrinking", 2, "")).rejects.toMatchObject({
    reason: "RESOURCE_IN_USE",
    metadata: { alias: "stable" },
  });
  await registry.models.deleteAlias("shrinking", "STABLE");
  await expect(registry.models.deleteVersion("shrinking", 2, "stale")).rejects.toEqual(reason("ETAG_MISMATCH"));
  const before = await sequenceOf(registry.sql);
  await registry.models.deleteVersion("Shrinking", 2, "");
  const events = await eventsAfter(registry.sql, before);
  expect(events.map(({ kind, noun }) => `${noun} ${kind}`)).toEqual(["version DELETED", "model UPDATED"]);
  await registry.models.deleteVersion("shrinking", 1, "");
  expect(await registry.models.get("shrinking")).toMatchObject({ status: "REGISTERED", versionCount: 0 });
  expect((await publishVersion(registry, "shrinking", files("a"))).version).toBe(3);
  await expect(registry.models.deleteVersion("shrinking", 1, "")).rejects.toEqual(reason("VERSION_NOT_FOUND"));
});

test("a version that is assigned stays", async () => {
  await modelWith("assigned", 1);
  const capacity = { memoryBytes: 0, diskBytes: 0, maxModels: 0, gpus: [] };
  await registry.workers.register({ id: "w", address: "", labels: {}, capacity });
  const launch = { engine: "", args: [], env: {} };
  const assignment = await registry.workers.assign({
    ref: { modelId: "assigned" },
    workerId: "w",
    target: "CACHED",
    launch,
    dryRun: false,
  });
  await expect(registry.models.deleteVersion("assigned", 1, "")).rejects.toMatchObject({
    reason: "RESOURCE_IN_USE",
    metadata: { assignment_id: assignment.id, worker_id: "w" },
  });
});

test("the last version's deletion leaves a model that is being downloaded DOWNLOADING", async () => {
  await modelWith("renewing", 1);
  const { lease } = await startAndClaim(registry, "renewing", "next");
  await registry.models.deleteVersion("renewing", 1, "");
  expect((await registry.models.get("renewing")).status).toBe("DOWNLOADING");
  await registry.jobs.cancel(lease.downloadId);
});

test("an alias is made, moved and deleted, and shows with the model", async () => {
  await modelWith("named", 2);
  const before = await sequenceOf(registry.sql);
  await registry.models.setAlias("named", "b", 1);
  const alias = await registry.models.setAlias("NAMED", "A", 1);
  expect(alias).toMatchObject({ modelId: "named", alias: "A", version: 1 });
  expect(await registry.models.setAlias("named", "a", 1)).toEqual(alias);
  const moved = await registry.models.setAlias("named", "a", 2);
  expect(moved).toMatchObject({ alias: "A", version: 2 });
  expect((await registry.models.get("named")).aliases.map(({ alias, version }) => [alias, version])).toEqual([
    ["A", 2],
    ["b", 1],
  ]);
  await registry.models.deleteAlias("named", "b");
  const events = await eventsAfter(registry.sql, before);
  expect(events.map(({ kind, noun }) => `${noun} ${kind}`)).toEqual([
    "alias CREATED",
    "model UPDATED",
    "alias CREATED",
    "model UPDATED",
    "alias UPDATED",
    "model UPDATED",
    "alias DELETED",
    "model UPDATED",
  ]);
  await expect(registry.models.setAlias("named", "x", 7)).rejects.toEqual(reason("VERSION_NOT_FOUND"));
  await expect(registry.models.deleteAlias("named", "x")).rejects.toEqual(reason("ALIAS_NOT_FOUND"));
  await expect(registry.models.setAlias("named", "latest", 1)).rejects.toEqual(reason("FIELD_INVALID"));
  await expect(registry.models.setAlias("named", "12", 1)).rejects.toEqual(reason("FIELD_INVALID"));
});
