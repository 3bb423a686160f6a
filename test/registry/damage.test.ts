import { afterAll, beforeAll, expect, test } from "vitest";
import {
  advanceToVerifying,
  digest,
  eventsAfter,
  newModel,
  openRegistry,
  publishVersion,
  sequenceOf,
  startAndClaim,
  type TestRegistry,
  untilWaiting,
} from "./open-registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await openRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

const yes = async () => true;
const file = (path: string, character: string) => ({ path, size: 4, digest: digest(character) });

test("lost bytes are marked and healed with events, and neither changes an etag", async () => {
  await registry.models.create(newModel("marked"), {});
  await publishVersion(registry, "marked", [file("b", "1"), file("a", "1"), file("c", "2")]);
  const before = await registry.models.getVersion({ modelId: "marked" });
  const start = await sequenceOf(registry.sql);
  expect(await registry.damage.declareLost(digest("1"), yes)).toBe(true);
  expect(await registry.models.getVersion({ modelId: "marked" })).toEqual({ ...before, damagedFiles: ["a", "b"] });
  expect(await registry.damage.declareLost(digest("1"), yes)).toBe(false);
  expect(await registry.damage.declareLost(digest("2"), yes)).toBe(true);
  expect((await registry.models.getVersion({ modelId: "marked" })).damagedFiles).toEqual(["a", "b", "c"]);
  expect(await registry.blobs.usage()).toMatchObject({ damagedBytes: 8, damagedCount: 2, blobCount: 0 });

  const { lease } = await startAndClaim(registry, "marked", "again");
  expect(await registry.jobs.reuse(lease, [digest("1"), digest("2")])).toEqual(new Map());
  for (const character of ["1", "2"]) await registry.jobs.admit(lease, digest(character), 4, async () => {});
  await registry.jobs.cancel(lease.downloadId);
  expect(await registry.models.getVersion({ modelId: "marked" })).toEqual(before);
  const marks = (await eventsAfter(registry.sql, start)).filter(({ noun }) => noun === "version");
  expect(marks.map(({ kind, resource }) => [kind, resource.damagedFiles])).toEqual([
    ["UPDATED", ["a", "b"]],
    ["UPDATED", ["a", "b", "c"]],
    ["UPDATED", ["c"]],
    ["UPDATED", []],
  ]);
});

test("bytes that are still there are not declared lost, nor those of a blob that is unknown or being placed", async () => {
  await registry.models.create(newModel("kept"), {});
  await publishVersion(registry, "kept", [file("a", "3")]);
  const start = await sequenceOf(registry.sql);
  expect(await registry.damage.declareLost(digest("3"), async () => false)).toBe(false);
  expect(await registry.damage.declareLost(digest("9"), yes)).toBe(false);
  const { lease } = await startAndClaim(registry, "kept", "other");
  let declaring: Promise<boolean> | undefined;
  const placing = registry.jobs.admit(lease, digest("4"), 4, async () => {
    declaring = registry.damage.declareLost(digest("4"), yes);
    await untilWaiting(registry.sql, 1);
    throw new Error("the disk is full");
  });
  await expect(placing).rejects.toThrow();
  expect(await declaring).toBe(false);
  await registry.jobs.cancel(lease.downloadId);
  expect((await eventsAfter(registry.sql, start)).filter(({ noun }) => noun === "version")).toEqual([]);
});

test("two blobs of one version are declared lost at once, and both are marked", async () => {
  await registry.models.create(newModel("both"), {});
  await registry.models.create(newModel("both-too"), {});
  for (const id of ["both", "both-too"]) await publishVersion(registry, id, [file("a", "5"), file("b", "6")]);
  const lost = await Promise.all(["5", "6"].map((character) => registry.damage.declareLost(digest(character), yes)));
  expect(lost).toEqual([true, true]);
  for (const modelId of ["both", "both-too"]) {
    expect((await registry.models.getVersion({ modelId })).damagedFiles).toEqual(["a", "b"]);
  }
  expect(await registry.damage.namedBy(digest("5"), 10)).toEqual(["both@1", "both-too@1"]);
  expect(await registry.damage.namedBy(digest("5"), 1)).toEqual(["both@1"]);
});

test("a version waits for its repair while one is live, and rests after one that failed", async () => {
  await registry.models.create(newModel("resting"), {});
  await publishVersion(registry, "resting", [file("a", "7")]);
  await registry.damage.declareLost(digest("7"), yes);
  const mine = async (restMs: number) =>
    (await registry.damage.unrepaired(restMs, 100)).filter(({ modelId }) => modelId === "resting");
  expect(await mine(0)).toEqual([
    {
      modelId: "resting",
      version: 1,
      resolvedRevision: "main",
      damagedFiles: ["a"],
      lost: [digest("7")],
      credential: "",
    },
  ]);
  const request = { modelId: "resting", revision: "main", allowPatterns: ["a"], ignorePatterns: [], priority: 0 };
  const ordinary = await registry.jobs.start(request);
  const { download, created } = await registry.jobs.start({ ...request, repairs: 1 });
  expect([created, download.id === ordinary.download.id]).toEqual([true, false]);
  expect((await registry.jobs.start({ ...request, repairs: 1 })).created).toBe(false);
  expect(await mine(0)).toEqual([]);
  await registry.jobs.cancel(ordinary.download.id);
  await registry.jobs.cancel(download.id);
  expect(await mine(0)).toHaveLength(1);
  expect(await mine(60_000)).toEqual([]);
});

test("a version is used when it is made, found again, assigned or read, and reading writes once an hour", async () => {
  await registry.models.create(newModel("used"), {});
  await publishVersion(registry, "used", [file("a", "8")]);
  const long = async () => {
    await registry.sql`update versions set last_used_time = now() - interval '3 hours' where model_id = 'used'`;
  };
  const ageMs = async () => {
    const [row] = await registry.sql<{ ms: number }[]>`
      select extract(epoch from now() - last_used_time)::float * 1000 as ms from versions where model_id = 'used'`;
    return row?.ms ?? Number.NaN;
  };
  expect(await ageMs()).toBeLessThan(10_000);
  await long();
  await publishVersion(registry, "used", [file("a", "8")]);
  expect(await ageMs()).toBeLessThan(10_000);

  await long();
  const capacity = { memoryBytes: 0, diskBytes: 0, maxModels: 0, gpus: [] };
  await registry.workers.register({ id: "user", address: "", labels: {}, capacity });
  const ref = { modelId: "used" };
  const launch = { engine: "", args: [], env: {} };
  await registry.workers.assign({ ref, workerId: "user", target: "CACHED", launch, dryRun: false });
  expect(await ageMs()).toBeLessThan(10_000);

  await long();
  const start = await sequenceOf(registry.sql);
  const reads = await Promise.all(Array.from({ length: 20 }, () => registry.models.resolve(ref)));
  await expect.poll(ageMs).toBeLessThan(10_000);
  const fresh = await registry.models.getVersion(ref);
  expect(fresh.lastUsedTime.getTime()).toBeGreaterThan(reads[0]?.version?.lastUsedTime.getTime() ?? 0);
  expect(fresh.etag).toBe(reads[0]?.version?.etag);
  expect(await sequenceOf(registry.sql)).toBe(start);

  await registry.sql`update versions set last_used_time = now() - interval '30 minutes' where model_id = 'used'`;
  await registry.models.resolve(ref);
  expect(await ageMs()).toBeGreaterThan(1_000_000);
});

test("nothing that is assigned is evicted, and what is evicted goes with its events", async () => {
  await using own = await openRegistry();
  for (const [id, character] of [
    ["assigned", "a"],
    ["idle", "b"],
  ] as const) {
    await own.models.create(newModel(id), {});
    await publishVersion(own, id, [file("f", character)]);
  }
  const capacity = { memoryBytes: 0, diskBytes: 0, maxModels: 0, gpus: [] };
  await own.workers.register({ id: "w", address: "", labels: {}, capacity });
  const launch = { engine: "", args: [], env: {} };
  const ref = { modelId: "assigned" };
  await own.workers.assign({ ref, workerId: "w", target: "CACHED", launch, dryRun: false });
  const start = await sequenceOf(own.sql);
  expect(await own.quota.evict()).toMatchObject({ modelId: "idle", version: 1 });
  expect((await eventsAfter(own.sql, start)).map(({ kind, noun }) => `${noun} ${kind}`)).toEqual([
    "version DELETED",
    "model UPDATED",
  ]);
  expect(await own.quota.evict()).toBeUndefined();
});

test("a version that comes into use while it is chosen is passed over", async () => {
  await using own = await openRegistry();
  await own.models.create(newModel("chosen"), {});
  await publishVersion(own, "chosen", [file("f", "a")]);
  const holder = await own.sql.reserve();
  await holder`begin`;
  await holder`select from models where id = 'chosen' for update`;
  const evicting = own.quota.evict();
  await untilWaiting(own.sql, 1);
  await holder`update versions set pinned = true where model_id = 'chosen'`;
  await holder`commit`;
  holder.release();
  expect(await evicting).toBeUndefined();
  expect(await own.models.get("chosen")).toMatchObject({ versionCount: 1 });
});

test("a repair succeeds with its version alone", async () => {
  await registry.models.create(newModel("repaired"), {});
  await publishVersion(registry, "repaired", [file("a", "a"), file("b", "b")]);
  await registry.damage.declareLost(digest("a"), yes);
  const repair = async (character: string, pattern: string) => {
    const request = { modelId: "repaired", revision: "", allowPatterns: [pattern], ignorePatterns: [], priority: 0 };
    await registry.jobs.start({ ...request, repairs: 1 });
    const [claimed] = await registry.jobs.claim("test", 1, 60_000);
    if (claimed === undefined) throw new Error("the repair was not claimed");
    await advanceToVerifying(registry, claimed.lease);
    await registry.jobs.admit(claimed.lease, digest(character), 4, async () => {});
    return registry.jobs.publish(claimed.lease, {
      resolvedRevision: "main",
      license: "",
      metadata: {},
      files: [file("a", character)],
      progress: claimed.download.progress,
    });
  };
  await expect(repair("c", "a")).rejects.toMatchObject({ reason: "CONTENT_MISMATCH" });
  expect(await repair("a", "?")).toMatchObject({ version: 1, damagedFiles: [] });
  expect(await registry.models.get("repaired")).toMatchObject({ versionCount: 1 });
});
