import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Download } from "../../src/domain/download.ts";
import type { Failure } from "../../src/domain/failure.ts";
import type { Lease } from "../../src/domain/ports/download-jobs.ts";
import {
  advanceToVerifying,
  digest,
  eventsAfter,
  newModel,
  openRegistry,
  progress,
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

const reason = (expected: string) => expect.objectContaining({ reason: expected });
const request = (modelId: string, rest = {}) => ({
  modelId,
  revision: "",
  allowPatterns: [],
  ignorePatterns: [],
  priority: 0,
  ...rest,
});
const failure: Failure = { reason: "SOURCE_UNAVAILABLE", message: "no answer", metadata: { status: "503" } };

/** Lets the lease of a download run out. */
async function expire(downloadId: string): Promise<void> {
  await registry.sql`update downloads set lease_expire_time = now() - interval '1 second' where id = ${downloadId}`;
}

async function statusOf(modelId: string): Promise<string> {
  return (await registry.models.get(modelId)).status;
}

/** Ends whatever earlier tests left, so that claims see the test's own downloads alone. */
async function cancelAll(): Promise<void> {
  const { items } = await registry.jobs.list({ size: 1000, token: "" });
  for (const { id, endTime } of items) if (endTime === undefined) await registry.jobs.cancel(id);
}

describe("start", () => {
  test("queues a download and marks the model", async () => {
    await registry.models.create(newModel("first"), {});
    const before = await sequenceOf(registry.sql);
    const { download, created } = await registry.jobs.start(request("FIRST", { rateLimit: 4096, priority: 7 }));
    expect(created).toBe(true);
    expect(download).toMatchObject({
      modelId: "first",
      state: "QUEUED",
      priority: 7,
      rateLimit: 4096,
      resolvedRevision: "",
    });
    expect(download.progress).toMatchObject({
      downloadId: download.id,
      state: "QUEUED",
      completedBytes: 0,
      attempt: 0,
    });
    expect(await registry.jobs.get(download.id.toUpperCase())).toEqual(download);
    expect(await statusOf("first")).toBe("DOWNLOADING");
    const events = await eventsAfter(registry.sql, before);
    expect(events.map(({ kind, noun }) => `${noun} ${kind}`)).toEqual(["download CREATED", "model UPDATED"]);
  });

  test("joins the live one of the same revision and patterns, and no other", async () => {
    await registry.models.create(newModel("joined"), {});
    const wanted = request("joined", { allowPatterns: ["*.json", "*.bin"] });
    const same = request("joined", { allowPatterns: ["*.bin", "*.json"] });
    const results = await Promise.all([wanted, same, wanted, same].map((each) => registry.jobs.start(each)));
    expect(new Set(results.map(({ download }) => download.id)).size).toBe(1);
    expect(results.filter(({ created }) => created)).toHaveLength(1);
    const other = await registry.jobs.start(request("joined", { ...wanted, revision: "dev" }));
    expect(other.created).toBe(true);
    await registry.jobs.cancel(results[0]?.download.id ?? "");
    expect((await registry.jobs.start(wanted)).created).toBe(true);
  });

  test("keeps the name of a credential and never a token", async () => {
    const source = { kind: "http", files: [], credential: "own" } as const;
    await registry.models.create(newModel("secret", { source }), {});
    await registry.jobs.start(request("secret", { credential: { token: "hunter2" }, revision: "a" }));
    await registry.jobs.start(request("secret", { credential: { name: "team" }, revision: "b" }));
    const claimed = (await registry.jobs.claim("test", 1000, 60_000)).filter(
      ({ download }) => download.modelId === "secret",
    );
    const sources = Object.fromEntries(claimed.map(({ download, source }) => [download.revision, source]));
    expect(sources).toEqual({ a: source, b: { ...source, credential: "team" } });
    const [{ found } = { found: 1 }] = await registry.sql<{ found: number }[]>`
      select count(*)::integer as found from downloads d, events e where d::text like '%hunter2%' or e::text like '%hunter2%'`;
    expect(found).toBe(0);
  });

  test("needs the model", async () => {
    await expect(registry.jobs.start(request("nobody"))).rejects.toEqual(reason("MODEL_NOT_FOUND"));
    for (const id of ["0", "01890a5d-ac96-774b-bcce-b302099a8057"]) {
      await expect(registry.jobs.get(id)).rejects.toEqual(reason("DOWNLOAD_NOT_FOUND"));
      await expect(registry.jobs.cancel(id)).rejects.toEqual(reason("DOWNLOAD_NOT_FOUND"));
    }
  });
});

describe("claim", () => {
  test("takes the highest priority first, then the oldest, and each once", async () => {
    await cancelAll();
    await registry.models.create(newModel("claimed"), {});
    const ids: string[] = [];
    for (const [revision, priority] of [
      ["a", 0],
      ["b", 5],
      ["c", 0],
      ["d", 5],
    ] as const) {
      ids.push((await registry.jobs.start(request("claimed", { revision, priority }))).download.id);
    }
    const [a, b, c, d] = ids;
    const other = await registry.another();
    const [one, two] = await Promise.all([registry.jobs.claim("one", 2, 60_000), other.jobs.claim("two", 2, 60_000)]);
    const taken = [...one, ...two].map(({ lease }) => lease.downloadId);
    expect(new Set(taken).size).toBe(taken.length);
    const rest = await registry.jobs.claim("three", 4, 60_000);
    expect([...taken, ...rest.map(({ lease }) => lease.downloadId)].sort()).toEqual([...ids].sort());
    expect(taken).toEqual(expect.arrayContaining([b, d]));
    for (const id of [a, c]) expect(ids).toContain(id);
    expect(await registry.jobs.claim("four", 4, 60_000)).toEqual([]);
    expect(rest.concat(one, two).every(({ download }) => download.progress.attempt === 1)).toBe(true);
  });

  test("takes over what lost its owner, whose words no longer count", async () => {
    await cancelAll();
    await registry.models.create(newModel("orphan"), {});
    const first = await startAndClaim(registry, "orphan");
    await registry.jobs.advance(first.lease, "RESOLVING");
    await registry.jobs.advance(first.lease, "TRANSFERRING", { resolvedRevision: "abc" });
    expect(await registry.jobs.claim("second", 1, 60_000)).toEqual([]);
    await expire(first.lease.downloadId);
    // Nobody took it yet, so that the first owner may go on.
    expect(await registry.jobs.renew([first.lease], 60_000)).toEqual(new Map([[first.lease.downloadId, {}]]));
    await expire(first.lease.downloadId);
    const [second] = await registry.jobs.claim("second", 1, 60_000);
    if (second === undefined) throw new Error("nothing was claimed");
    expect(second.lease.epoch).toBeGreaterThan(first.lease.epoch);
    expect(second.download).toMatchObject({ state: "QUEUED", resolvedRevision: "abc", progress: { attempt: 2 } });

    const stale = reason("LEASE_STALE");
    const told = progress(first.lease.downloadId, { completedBytes: 99 });
    expect(await registry.jobs.renew([first.lease, second.lease], 60_000)).toEqual(
      new Map([[second.lease.downloadId, {}]]),
    );
    await expect(registry.jobs.advance(first.lease, "RESOLVING")).rejects.toEqual(stale);
    await expect(registry.jobs.release(first.lease, told)).rejects.toEqual(stale);
    await expect(registry.jobs.fail(first.lease, failure, told)).rejects.toEqual(stale);
    await expect(registry.jobs.reuse(first.lease, [digest("a")])).rejects.toEqual(stale);
    let placed = false;
    const place = async () => {
      placed = true;
    };
    await expect(registry.jobs.admit(first.lease, digest("a"), 1, place)).rejects.toEqual(stale);
    expect(placed).toBe(false);
    const publication = { resolvedRevision: "", license: "", metadata: {}, files: [], progress: told };
    await expect(registry.jobs.publish(first.lease, publication)).rejects.toEqual(stale);
    await registry.jobs.saveProgress([{ lease: first.lease, progress: told }]);
    expect((await registry.jobs.get(first.lease.downloadId)).progress.completedBytes).toBe(0);
    await registry.jobs.advance(second.lease, "RESOLVING");
  });

  test("gives up what was lost 20 times without a byte more, and not before", async () => {
    await cancelAll();
    await registry.models.create(newModel("poison"), {});
    const { download } = await registry.jobs.start(request("poison"));
    const lose = async (completedBytes: number) => {
      const [claimed] = await registry.jobs.claim("victim", 1, 60_000);
      if (claimed === undefined) return false;
      await registry.jobs.saveProgress([{ lease: claimed.lease, progress: progress(download.id, { completedBytes }) }]);
      await expire(download.id);
      return true;
    };
    for (let round = 1; round <= 30; round++) expect(await lose(round)).toBe(true);
    for (let round = 1; round <= 20; round++) expect(await lose(30)).toBe(true);
    expect(await lose(30)).toBe(false);
    const ended = await registry.jobs.get(download.id);
    expect(ended).toMatchObject({
      state: "FAILED",
      error: { reason: "INTERNAL" },
      progress: { completedBytes: 30, attempt: 50 },
    });
    expect(await statusOf("poison")).toBe("FAILED");
  });

  test("keeps what it took when another process is faster to give up what is beside it", async () => {
    await cancelAll();
    await registry.models.create(newModel("hopeless"), {});
    await registry.models.create(newModel("hopeful"), {});
    const { lease } = await startAndClaim(registry, "hopeless");
    await registry.sql`update downloads set fruitless_claims = 19 where id = ${lease.downloadId}`;
    await expire(lease.downloadId);
    const [one, two] = [await registry.another(), await registry.another()];
    const claims: ReturnType<typeof one.jobs.claim>[] = [];
    await registry.sql.begin(async (tx) => {
      await tx`select 1 from models where id = 'hopeless' for update`;
      for (const [index, { jobs }] of [one, two].entries()) {
        await registry.jobs.start(request("hopeful", { revision: `${index}` }));
        claims.push(jobs.claim(`process ${index}`, 2, 60_000));
        await untilWaiting(registry.sql, index + 1);
      }
    });
    const taken = (await Promise.all(claims)).map((each) => each.map(({ download }) => download.revision));
    expect(taken).toEqual([["0"], ["1"]]);
    expect((await registry.jobs.get(lease.downloadId)).state).toBe("FAILED");
  });

  test("counts what was given back as no loss", async () => {
    await cancelAll();
    await registry.models.create(newModel("restless"), {});
    await registry.jobs.start(request("restless"));
    for (let round = 0; round < 25; round++) {
      const [claimed] = await registry.jobs.claim("owner", 1, 60_000);
      if (claimed === undefined) throw new Error("nothing was claimed");
      await registry.jobs.release(claimed.lease, progress(claimed.lease.downloadId));
      await expect(registry.jobs.advance(claimed.lease, "RESOLVING")).rejects.toEqual(reason("LEASE_STALE"));
    }
  });
});

describe("locks on several downloads", () => {
  test("are taken in the order of ids", async () => {
    await cancelAll();
    await registry.models.create(newModel("ordered"), {});
    const first = await startAndClaim(registry, "ordered", "1");
    const second = await startAndClaim(registry, "ordered", "2");
    // Its row lies behind the other's now.
    await registry.jobs.advance(first.lease, "RESOLVING");
    const leases = [second.lease, first.lease];
    let renewed: ReturnType<typeof registry.jobs.renew> | undefined;
    await registry.sql.begin(async (tx) => {
      await tx`select 1 from downloads where id = ${first.lease.downloadId} for update`;
      renewed = registry.jobs.renew(leases, 60_000);
      await untilWaiting(registry.sql, 1);
      const free = await tx`select 1 from downloads where id = ${second.lease.downloadId} for update skip locked`;
      expect(free).toHaveLength(1);
    });
    expect(new Set((await renewed)?.keys())).toEqual(new Set(leases.map(({ downloadId }) => downloadId)));
  });
});

describe("the life of a download", () => {
  test("follows the table of states, with an event for each", async () => {
    await cancelAll();
    await registry.models.create(newModel("living"), {});
    const { lease } = await startAndClaim(registry, "living");
    const before = await sequenceOf(registry.sql);
    await expect(registry.jobs.advance(lease, "VERIFYING")).rejects.toEqual(reason("STATE_INVALID"));
    await registry.jobs.advance(lease, "RESOLVING");
    await registry.jobs.advance(lease, "TRANSFERRING", { resolvedRevision: "abc" });
    await registry.jobs.advance(lease, "TRANSFERRING", { attempt: 3 });
    const told = progress(lease.downloadId, {
      completedBytes: 2 ** 53 - 1,
      totalBytes: 2 ** 53 - 1,
      files: [{ path: "a", state: "TRANSFERRING", completedBytes: 5, totalBytes: 9 }],
    });
    await registry.jobs.saveProgress([{ lease, progress: told }]);
    const shown = await registry.jobs.get(lease.downloadId);
    expect(shown.progress).toMatchObject({
      completedBytes: 2 ** 53 - 1,
      attempt: 3,
      resolvedRevision: "abc",
      files: [],
    });
    const kept = await registry.jobs.readProgress([lease.downloadId, "01890a5d-ac96-774b-bcce-b302099a8057", "x"]);
    expect([...kept.keys()]).toEqual([lease.downloadId]);
    expect(kept.get(lease.downloadId)).toMatchObject({
      state: "TRANSFERRING",
      files: told.files,
      updateTime: told.updateTime,
    });

    await registry.jobs.release(lease, told);
    const events = await eventsAfter(registry.sql, before);
    expect(events.map(({ resource }) => resource.state)).toEqual(["RESOLVING", "TRANSFERRING", "QUEUED"]);
    const again = await registry.jobs.get(lease.downloadId);
    expect(again).toMatchObject({ state: "QUEUED", progress: { completedBytes: 2 ** 53 - 1, bytesPerSecond: 0 } });
  });

  test("has a later update time after each of its events", async () => {
    await cancelAll();
    await registry.models.create(newModel("timed"), {});
    const { lease } = await startAndClaim(registry, "timed");
    const before = await sequenceOf(registry.sql);
    await registry.jobs.advance(lease, "RESOLVING");
    await registry.sql`select pg_sleep(0.002)`;
    await registry.jobs.advance(lease, "RESOLVING", { resolvedRevision: "abc" });
    const events = await eventsAfter(registry.sql, before);
    const times = events.map(({ resource }) => Date.parse(String(resource.updateTime)));
    expect(times).toHaveLength(2);
    expect(times[1]).toBeGreaterThan(times[0] ?? Number.NaN);
  });

  test("takes no more progress of an owner whose lease ends meanwhile", async () => {
    await registry.models.create(newModel("overtaken"), {});
    const { lease } = await startAndClaim(registry, "overtaken");
    let saved: Promise<void> | undefined;
    await registry.sql.begin(async (tx) => {
      await tx`select 1 from downloads where id = ${lease.downloadId} for update`;
      saved = registry.jobs.saveProgress([{ lease, progress: progress(lease.downloadId, { completedBytes: 5 }) }]);
      await untilWaiting(registry.sql, 1);
      await tx`update downloads set epoch = epoch + 1 where id = ${lease.downloadId}`;
    });
    await saved;
    expect(await registry.sql`select 1 from download_progress where download_id = ${lease.downloadId}`).toHaveLength(0);
  });

  test("fails with its reason, and the model with it while it has no version", async () => {
    await registry.models.create(newModel("failing"), {});
    const { lease } = await startAndClaim(registry, "failing");
    await registry.jobs.fail(lease, failure, progress(lease.downloadId, { completedBytes: 3 }));
    expect(await registry.jobs.get(lease.downloadId)).toMatchObject({
      state: "FAILED",
      error: failure,
      progress: { completedBytes: 3, error: failure },
      endTime: expect.any(Date),
    });
    expect(await statusOf("failing")).toBe("FAILED");
    await expect(registry.jobs.cancel(lease.downloadId)).rejects.toEqual(reason("STATE_INVALID"));
    await startAndClaim(registry, "failing");
    expect(await statusOf("failing")).toBe("DOWNLOADING");
  });

  test("leaves the model to what else goes on when it ends", async () => {
    await registry.models.create(newModel("shared"), {});
    const first = await startAndClaim(registry, "shared", "a");
    const second = await startAndClaim(registry, "shared", "b");
    await registry.jobs.fail(first.lease, failure, progress(first.lease.downloadId));
    expect(await statusOf("shared")).toBe("DOWNLOADING");
    await registry.jobs.cancel(second.lease.downloadId);
    expect(await statusOf("shared")).toBe("REGISTERED");
    await publishVersion(registry, "shared", [{ path: "a", size: 1, digest: digest("1") }]);
    const third = await startAndClaim(registry, "shared", "c");
    await registry.jobs.fail(third.lease, failure, progress(third.lease.downloadId));
    expect(await statusOf("shared")).toBe("AVAILABLE");
  });

  test("is cancelled once, and its owner learns of it", async () => {
    await registry.models.create(newModel("stopped"), {});
    const { lease } = await startAndClaim(registry, "stopped");
    await registry.jobs.saveProgress([{ lease, progress: progress(lease.downloadId, { completedBytes: 11 }) }]);
    const cancelled = await Promise.all([
      registry.jobs.cancel(lease.downloadId),
      registry.jobs.cancel(lease.downloadId),
    ]);
    for (const each of cancelled) expect(each).toMatchObject({ state: "CANCELLED", progress: { completedBytes: 11 } });
    expect(cancelled[0]).toEqual(cancelled[1]);
    expect(await registry.jobs.renew([lease], 60_000)).toEqual(new Map());
    await expect(registry.jobs.advance(lease, "RESOLVING")).rejects.toEqual(reason("LEASE_STALE"));
    expect(await statusOf("stopped")).toBe("REGISTERED");
  });
});

describe("blobs", () => {
  const readyBlobs = () => registry.sql`select digest from blobs where state = 'READY'`;

  test("are placed under their row's lock, and reused afterwards", async () => {
    await registry.models.create(newModel("blobs"), {});
    const { lease } = await startAndClaim(registry, "blobs");
    const states: unknown[] = [];
    await registry.jobs.admit(lease, digest("2"), 22, async () => {
      const [row] = await registry.sql`select state from blobs where digest = ${digest("2")}`;
      states.push(row?.state);
      const free = await registry.sql`select 1 from blobs where digest = ${digest("2")} for update skip locked`;
      states.push(free.length);
    });
    expect(states).toEqual(["WRITING", 0]);
    expect(await registry.jobs.reuse(lease, [digest("2"), digest("3")])).toEqual(new Map([[digest("2"), 22]]));
    await registry.jobs.admit(lease, digest("2"), 22, async () => {});

    const other = await startAndClaim(registry, "blobs", "other");
    await registry.jobs.reuse(other.lease, [digest("2")]);
    const references = () => registry.sql`select download_id from blob_references where digest = ${digest("2")}`;
    expect(await references()).toHaveLength(2);
    await registry.jobs.cancel(other.lease.downloadId);
    expect((await references()).map((row) => row.download_id)).toEqual([lease.downloadId]);
  });

  test("that could not be placed are not there, and can be tried again", async () => {
    await registry.models.create(newModel("full"), {});
    const { lease } = await startAndClaim(registry, "full");
    const failing = async () => {
      throw new Error("disk full");
    };
    await expect(registry.jobs.admit(lease, digest("4"), 4, failing)).rejects.toThrow("disk full");
    expect(await registry.jobs.reuse(lease, [digest("4")])).toEqual(new Map());
    await registry.jobs.admit(lease, digest("4"), 4, async () => {});
    expect(await registry.jobs.reuse(lease, [digest("4")])).toEqual(new Map([[digest("4"), 4]]));
    expect((await readyBlobs()).map((row) => row.digest)).toContain(digest("4"));
  });

  test("may take long to place, while the download can be cancelled", async () => {
    await registry.models.create(newModel("slow"), {});
    const { lease } = await startAndClaim(registry, "slow");
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const { promise: go, resolve: finish } = Promise.withResolvers<void>();
    const admitted = registry.jobs.admit(lease, digest("5"), 5, async () => {
      begin();
      await go;
    });
    await begun;
    expect((await registry.jobs.cancel(lease.downloadId)).state).toBe("CANCELLED");
    finish();
    await admitted;
  });
});

describe("while blobs are being placed", () => {
  /** Admits blobs whose placing takes until `finish` is called; resolves when `count` of them are being placed. */
  async function admitSlowly(leases: readonly Lease[], characters: string, count: number) {
    const { promise: go, resolve: finish } = Promise.withResolvers<void>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    let placing = 0;
    const admitted = [...characters].map((character, index) =>
      registry.jobs.admit(leases[index % leases.length] as Lease, digest(character), 1, async () => {
        placing += 1;
        if (placing === count) begin();
        await go;
      }),
    );
    await Promise.race([begun, Promise.all(admitted)]);
    return { finish, admitted: Promise.all(admitted) };
  }

  test("those of one download that come meanwhile go together, and one that fails holds no other up", async () => {
    await registry.models.create(newModel("together"), {});
    const { lease } = await startAndClaim(registry, "together");
    const { finish, admitted } = await admitSlowly([lease], "q", 1);
    const failing = registry.jobs.admit(lease, digest("r"), 1, () => Promise.reject(new Error("no room")));
    const others = [..."stu"].map((character) => registry.jobs.admit(lease, digest(character), 1, async () => {}));
    failing.catch(() => {});
    finish();
    await admitted;
    await Promise.all(others);
    await expect(failing).rejects.toThrow("no room");
    const found = await registry.jobs.reuse(lease, [..."qrstu"].map(digest));
    expect([...found.keys()].sort()).toEqual([..."qstu"].map(digest).sort());
  });

  test("other calls have connections left", async () => {
    const leases: Lease[] = [];
    for (let index = 0; index < 5; index += 1) {
      await registry.models.create(newModel(`crowded-${index}`), {});
      leases.push((await startAndClaim(registry, `crowded-${index}`)).lease);
    }
    const { finish, admitted } = await admitSlowly(leases, "abcdefghijklmno", 5);
    try {
      const calls = Array.from({ length: 20 }, () => registry.models.get("crowded-0"));
      expect(await Promise.all(calls)).toHaveLength(20);
    } finally {
      finish();
    }
    await admitted;
    expect(await registry.jobs.reuse(leases[0] as Lease, [digest("a"), digest("o")])).toEqual(
      new Map([
        [digest("a"), 1],
        [digest("o"), 1],
      ]),
    );
  });

  test("once more, others who count on them need not wait", async () => {
    await registry.models.create(newModel("hasty"), {});
    const owner = await startAndClaim(registry, "hasty", "owner");
    await registry.jobs.admit(owner.lease, digest("p"), 1, async () => {});
    await advanceToVerifying(registry, owner.lease);
    const late = await startAndClaim(registry, "hasty", "late");
    const { finish, admitted } = await admitSlowly([late.lease], "p", 1);
    try {
      expect(await registry.jobs.reuse(owner.lease, [digest("p")])).toEqual(new Map([[digest("p"), 1]]));
      const version = await registry.jobs.publish(owner.lease, {
        resolvedRevision: "",
        license: "",
        metadata: {},
        files: [{ path: "a", size: 1, digest: digest("p") }],
        progress: progress(owner.lease.downloadId),
      });
      expect(version.version).toBe(1);
    } finally {
      finish();
    }
    await admitted;
  });
});

describe("publish", () => {
  const files = [
    { path: "b.bin", size: 6, digest: digest("6") },
    { path: "a/a.bin", size: 7, digest: digest("7") },
  ];
  const publication = (lease: Lease, rest = {}) => ({
    resolvedRevision: "abc",
    license: "mit",
    metadata: { format: "gguf" },
    files,
    progress: progress(lease.downloadId, { completedBytes: 13, totalBytes: 13 }),
    ...rest,
  });

  test("makes version, model and download one change", async () => {
    await registry.models.create(newModel("published"), {});
    const { lease } = await startAndClaim(registry, "published");
    await advanceToVerifying(registry, lease);
    for (const file of files) await registry.jobs.admit(lease, file.digest, file.size, async () => {});
    const before = await sequenceOf(registry.sql);
    const version = await registry.jobs.publish(lease, publication(lease));
    expect(version).toMatchObject({
      modelId: "published",
      version: 1,
      totalBytes: 13,
      fileCount: 2,
      license: "mit",
      metadata: { format: "gguf" },
      resolvedRevision: "abc",
      files: [files[1], files[0]],
    });
    expect(await registry.models.getVersion({ modelId: "published" })).toEqual(version);
    expect(await registry.models.get("published")).toMatchObject({
      status: "AVAILABLE",
      latestVersion: 1,
      versionCount: 1,
    });
    expect(await registry.jobs.get(lease.downloadId)).toMatchObject({ state: "SUCCEEDED", version: 1 });
    const events = await eventsAfter(registry.sql, before);
    expect(events.map(({ kind, noun }) => `${noun} ${kind}`)).toEqual([
      "version CREATED",
      "model UPDATED",
      "download UPDATED",
    ]);
    expect(events[0]?.resource).not.toHaveProperty("files");
    expect(await registry.sql`select 1 from blob_references where download_id = ${lease.downloadId}`).toHaveLength(0);
    // The answer got lost, and the owner asks again.
    expect(await registry.jobs.publish(lease, publication(lease))).toEqual(version);
    expect(await eventsAfter(registry.sql, before)).toHaveLength(3);
  });

  test("finds the version that has the same files", async () => {
    const { lease } = await startAndClaim(registry, "published", "newer");
    await advanceToVerifying(registry, lease);
    const reversed = [...files].reverse();
    const version = await registry.jobs.publish(
      lease,
      publication(lease, { files: reversed, resolvedRevision: "def" }),
    );
    expect(version).toMatchObject({ version: 1, resolvedRevision: "abc" });
    expect(await registry.jobs.get(lease.downloadId)).toMatchObject({
      state: "SUCCEEDED",
      version: 1,
      resolvedRevision: "def",
    });
    expect((await registry.models.get("published")).versionCount).toBe(1);
  });

  test("refuses a file whose blob is not in the store, and writes nothing", async () => {
    const { lease } = await startAndClaim(registry, "published", "broken");
    await advanceToVerifying(registry, lease);
    const failing = async () => {
      throw new Error("no");
    };
    await expect(registry.jobs.admit(lease, digest("8"), 8, failing)).rejects.toThrow("no");
    const before = await sequenceOf(registry.sql);
    for (const file of [
      { path: "x", size: 8, digest: digest("8") },
      { path: "x", size: 9, digest: digest("9") },
      { path: "x", size: 1, digest: digest("6") },
    ]) {
      const wanted = publication(lease, { files: [...files, file] });
      await expect(registry.jobs.publish(lease, wanted)).rejects.toMatchObject({
        reason: "BLOB_NOT_FOUND",
        metadata: { digest: file.digest },
      });
    }
    expect(await sequenceOf(registry.sql)).toBe(before);
    expect((await registry.jobs.get(lease.downloadId)).state).toBe("VERIFYING");
  });

  test("wants the download to be verifying", async () => {
    const { lease } = await startAndClaim(registry, "published", "early");
    await expect(registry.jobs.publish(lease, publication(lease))).rejects.toEqual(reason("STATE_INVALID"));
  });

  test("takes ten thousand files", async () => {
    await registry.models.create(newModel("large"), {});
    const many = Array.from({ length: 10_000 }, (_, index) => ({
      path: `part-${index}`,
      size: 6,
      digest: digest("6"),
    }));
    const version = await publishVersion(registry, "large", many);
    expect(version.fileCount).toBe(10_000);
    expect((await registry.models.resolve({ modelId: "large" })).version?.files).toHaveLength(10_000);
  });
});

describe("list", () => {
  test("goes newest first, by model and state", async () => {
    await registry.models.create(newModel("Listed"), {});
    const made: Download[] = [];
    for (const revision of ["a", "b", "c"])
      made.push((await registry.jobs.start(request("listed", { revision }))).download);
    await registry.jobs.cancel(made[1]?.id ?? "");
    const ofModel = { kind: "compare", field: "model_id", operator: "=", value: "LISTED" } as const;
    const all = await registry.jobs.list({ size: 10, token: "", filter: ofModel });
    expect(all.items.map(({ revision }) => revision)).toEqual(["c", "b", "a"]);
    const cancelled = { kind: "compare", field: "state", operator: "=", value: "CANCELLED" } as const;
    const some = await registry.jobs.list({
      size: 10,
      token: "",
      filter: { kind: "and", operands: [ofModel, cancelled] },
    });
    expect(some.items.map(({ revision }) => revision)).toEqual(["b"]);
    expect(some.totalSize).toBe(1);
  });
});
