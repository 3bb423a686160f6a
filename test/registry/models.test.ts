import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isDomainError } from "../../src/domain/errors.ts";
import {
  byId,
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

describe("create", () => {
  test("answers what was registered, and writes its event", async () => {
    const before = await sequenceOf(registry.sql);
    const wanted = newModel("Qwen/Qwen2.5-0.5B", { labels: { team: "search" }, displayName: "Qwen" });
    const model = await registry.models.create(wanted, {});
    expect(model).toMatchObject({ ...wanted, status: "REGISTERED", versionCount: 0, aliases: [] });
    expect(model.latestVersion).toBeUndefined();
    expect(Math.abs(model.createTime.getTime() - Date.now())).toBeLessThan(10_000);
    expect(await registry.models.get("qwen/QWEN2.5-0.5b")).toEqual(model);
    const [event, ...more] = await eventsAfter(registry.sql, before);
    expect(more).toEqual([]);
    expect(event).toMatchObject({ kind: "CREATED", noun: "model", resource: { id: model.id, etag: model.etag } });
  });

  test("refuses an id that is taken, ignoring case, and writes nothing", async () => {
    await registry.models.create(newModel("taken"), {});
    const before = await sequenceOf(registry.sql);
    await expect(registry.models.create(newModel("TAKEN"), {})).rejects.toEqual(reason("MODEL_EXISTS"));
    expect(await sequenceOf(registry.sql)).toBe(before);
  });

  test("lets one of many racing callers win", async () => {
    const attempts = Array.from({ length: 10 }, (_, index) =>
      registry.models.create(newModel(index % 2 === 0 ? "raced" : "Raced", { displayName: `${index}` }), {}),
    );
    const results = await Promise.allSettled(attempts);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const result of results) {
      if (result.status === "rejected") expect(isDomainError(result.reason, "MODEL_EXISTS")).toBe(true);
    }
  });

  test("answers the same request id with the first answer, also to racing callers", async () => {
    const wanted = newModel("asked", { labels: { a: "1", b: "2" } });
    const same = { ...wanted, labels: { b: "2", a: "1" } };
    const answers = await Promise.all(
      [wanted, same, wanted, same].map((model) => registry.models.create(model, { requestId: "r1" })),
    );
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    await registry.models.delete("asked", { etag: "", force: false });
    expect(await registry.models.create(wanted, { requestId: "r1" })).toEqual(answers[0]);
    await expect(registry.models.get("asked")).rejects.toEqual(reason("MODEL_NOT_FOUND"));
    await expect(registry.models.create(newModel("other"), { requestId: "r1" })).rejects.toMatchObject({
      reason: "FIELD_INVALID",
      violations: [{ field: "request_id" }],
    });
  });

  test("forgets a request id after a day, and that of a request that failed", async () => {
    await registry.models.create(newModel("daily"), { requestId: "r2" });
    await registry.sql`update create_requests set create_time = now() - interval '25 hours' where request_id = 'r2'`;
    expect((await registry.models.create(newModel("daily2"), { requestId: "r2" })).id).toBe("daily2");
    await expect(registry.models.create(newModel("daily"), { requestId: "r3" })).rejects.toEqual(
      reason("MODEL_EXISTS"),
    );
    expect((await registry.models.create(newModel("daily3"), { requestId: "r3" })).id).toBe("daily3");
  });

  test("only validates when asked to", async () => {
    const before = await sequenceOf(registry.sql);
    const answer = await registry.models.create(newModel("imagined"), { validateOnly: true });
    expect(answer).toMatchObject({ id: "imagined", status: "REGISTERED" });
    await expect(registry.models.get("imagined")).rejects.toEqual(reason("MODEL_NOT_FOUND"));
    await expect(registry.models.create(newModel("Taken"), { validateOnly: true })).rejects.toEqual(
      reason("MODEL_EXISTS"),
    );
    expect(await sequenceOf(registry.sql)).toBe(before);
  });

  test("wants the base model to exist", async () => {
    const adapter = newModel("adapter", { type: "ADAPTER", baseModelId: "absent" });
    await expect(registry.models.create(adapter, {})).rejects.toEqual(reason("MODEL_NOT_FOUND"));
    await registry.models.create(newModel("Base"), {});
    expect(await registry.models.create({ ...adapter, baseModelId: "base" }, {})).toMatchObject({
      baseModelId: "Base",
    });
  });

  test("refuses text that cannot be stored", async () => {
    for (const displayName of ["a\0b", "\ud800"]) {
      const labels = { key: displayName };
      await expect(registry.models.create(newModel("nul", { labels }), {})).rejects.toEqual(reason("FIELD_INVALID"));
    }
    await expect(registry.models.create(newModel("nul", { displayName: "a\0" }), {})).rejects.toEqual(
      reason("FIELD_INVALID"),
    );
    await expect(registry.models.get("nul\0")).rejects.toEqual(reason("FIELD_INVALID"));
  });
});

describe("update", () => {
  test("changes what is named, raises the etag, and guards by it", async () => {
    const first = await registry.models.create(newModel("changing", { labels: { a: "1" }, description: "old" }), {});
    const second = await registry.models.update("CHANGING", { description: "new" }, first.etag);
    expect(second).toMatchObject({ description: "new", labels: { a: "1" } });
    expect(second.etag).not.toBe(first.etag);
    expect(second.updateTime.getTime()).toBeGreaterThanOrEqual(first.updateTime.getTime());
    await expect(registry.models.update("changing", { description: "x" }, first.etag)).rejects.toEqual(
      reason("ETAG_MISMATCH"),
    );
    expect((await registry.models.update("changing", { labels: {} }, "")).labels).toEqual({});
  });

  test("writes nothing where nothing changes", async () => {
    const model = await registry.models.create(newModel("still", { labels: { a: "1" } }), {});
    const before = await sequenceOf(registry.sql);
    expect(
      await registry.models.update("still", { labels: { a: "1" }, source: { kind: "local", path: "/models/a" } }, ""),
    ).toEqual(model);
    expect(await sequenceOf(registry.sql)).toBe(before);
  });

  test("keeps one of racing updates that carry the same etag", async () => {
    const { etag } = await registry.models.create(newModel("contended"), {});
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) => registry.models.update("contended", { description: `${index}` }, etag)),
    );
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  test("lets the source alone during a download", async () => {
    await registry.models.create(newModel("busy"), {});
    const { lease } = await startAndClaim(registry, "busy");
    const source = { kind: "local", path: "/models/b" } as const;
    await expect(registry.models.update("busy", { source }, "")).rejects.toEqual(reason("OPERATION_CONFLICT"));
    expect((await registry.models.update("busy", { description: "fine" }, "")).description).toBe("fine");
    await registry.jobs.cancel(lease.downloadId);
    expect((await registry.models.update("busy", { source }, "")).source).toEqual(source);
  });

  test("knows a model that was deleted and made again from the former one", async () => {
    const former = await registry.models.create(newModel("phoenix"), {});
    await registry.models.delete("phoenix", { etag: former.etag, force: false });
    await registry.models.create(newModel("phoenix"), {});
    await expect(registry.models.update("phoenix", { description: "x" }, former.etag)).rejects.toEqual(
      reason("ETAG_MISMATCH"),
    );
  });
});

describe("delete", () => {
  test("refuses while a download or an assignment needs the model", async () => {
    const file = { path: "a.bin", size: 1, digest: digest("a") };
    await registry.models.create(newModel("needed"), {});
    await publishVersion(registry, "needed", [file]);
    await registry.models.setAlias("needed", "production", 1);
    await registry.workers.register({
      id: "w1",
      address: "",
      labels: {},
      capacity: { memoryBytes: 0, diskBytes: 0, maxModels: 0, gpus: [] },
    });
    const launch = { engine: "", args: [], env: {} };
    const assignment = await registry.workers.assign({
      ref: { modelId: "needed" },
      workerId: "w1",
      target: "SERVING",
      launch,
      dryRun: false,
    });
    await expect(registry.models.delete("needed", { etag: "", force: false })).rejects.toMatchObject({
      reason: "RESOURCE_IN_USE",
      metadata: { assignment_id: assignment.id, worker_id: "w1" },
    });
    const { lease } = await startAndClaim(registry, "needed", "other");
    await expect(registry.models.delete("needed", { etag: "", force: false })).rejects.toMatchObject({
      reason: "RESOURCE_IN_USE",
      metadata: { download_id: lease.downloadId },
    });
    await expect(registry.models.delete("needed", { etag: "stale", force: true })).rejects.toEqual(
      reason("ETAG_MISMATCH"),
    );

    const before = await sequenceOf(registry.sql);
    await registry.models.delete("NEEDED", { etag: "", force: true });
    const events = await eventsAfter(registry.sql, before);
    expect(events.map(({ kind, noun }) => `${noun} ${kind}`)).toEqual([
      "download UPDATED",
      "download DELETED",
      "download DELETED",
      "assignment DELETED",
      "alias DELETED",
      "version DELETED",
      "model DELETED",
    ]);
    expect(events[0]?.resource).toMatchObject({ id: lease.downloadId, state: "CANCELLED" });
    await expect(registry.jobs.advance(lease, "RESOLVING")).rejects.toEqual(reason("LEASE_STALE"));
    await expect(registry.jobs.get(lease.downloadId)).rejects.toEqual(reason("DOWNLOAD_NOT_FOUND"));
    expect(await registry.workers.listAssignments("w1")).toEqual([]);
    const [left] = await registry.sql`select
      (select count(*)::integer from version_files) as files,
      (select count(*)::integer from blob_references) as refs,
      (select count(*)::integer from blobs) as blobs`;
    expect(left).toEqual({ files: 0, refs: 0, blobs: 1 });
  });

  test("of an unknown model is MODEL_NOT_FOUND", async () => {
    await expect(registry.models.delete("nobody", { etag: "", force: true })).rejects.toEqual(
      reason("MODEL_NOT_FOUND"),
    );
  });

  test("races with assignments and downloads without a trace", async () => {
    const file = { path: "a.bin", size: 1, digest: digest("b") };
    for (let round = 0; round < 5; round++) {
      await registry.models.create(newModel("racing"), {});
      await publishVersion(registry, "racing", [file]);
      const launch = { engine: "", args: [], env: {} };
      const results = await Promise.allSettled([
        registry.workers.assign({
          ref: { modelId: "racing" },
          workerId: "w1",
          target: "CACHED",
          launch,
          dryRun: false,
        }),
        registry.models.delete("racing", { etag: "", force: true }),
        registry.jobs.start({
          modelId: "racing",
          revision: `${round}`,
          allowPatterns: [],
          ignorePatterns: [],
          priority: 0,
        }),
      ]);
      for (const result of results) {
        if (result.status === "rejected") expect(result.reason).toEqual(reason("MODEL_NOT_FOUND"));
      }
      expect(results[1]?.status).toBe("fulfilled");
      expect(await registry.workers.listAssignments("w1")).toEqual([]);
    }
  });
});

describe("list", () => {
  test("orders ids by their bytes", async () => {
    await using other = await openRegistry();
    for (const id of ["b", "A", "a.1", "B2", "a/x"]) await other.models.create(newModel(id), {});
    const page = await other.models.list({ size: 10, token: "", order: byId });
    expect(page.items.map(({ id }) => id)).toEqual(["A", "B2", "a.1", "a/x", "b"]);
    expect(page).toMatchObject({ totalSize: 5, nextToken: "", sequence: 5 });
  });
});
