import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AssignmentReport } from "../../src/domain/assignment.ts";
import type { Worker, WorkerLoad } from "../../src/domain/worker.ts";
import {
  digest,
  eventsAfter,
  newModel,
  openRegistry,
  publishVersion,
  sequenceOf,
  type TestRegistry,
  untilWaiting,
} from "./open-registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await openRegistry();
  for (const id of ["M", "N"]) {
    await registry.models.create(newModel(id), {});
    await publishVersion(registry, id, [{ path: "a", size: 1, digest: digest("a") }]);
    await publishVersion(registry, id, [{ path: "a", size: 1, digest: digest("b") }]);
  }
});
afterAll(() => registry[Symbol.asyncDispose]());

const reason = (expected: string) => expect.objectContaining({ reason: expected });
const capacity = {
  memoryBytes: 64,
  diskBytes: 2 ** 40,
  maxModels: 2,
  gpus: [{ index: 0, model: "H100", memoryBytes: 80 }],
};
const launch = { engine: "vllm", args: ["--x"], env: { A: "b" } };
const registration = (id: string, rest: Partial<Worker> = {}) => ({
  id,
  address: "10.0.0.7:9000",
  labels: {},
  capacity,
  ...rest,
});
const load = (utilization: number): WorkerLoad => ({ utilization, activeRequests: 1, queuedRequests: 0, gpus: [] });

/** A registered worker, with its heartbeat. */
async function join(id: string, rest: Partial<Worker> = {}) {
  const { worker, sessionToken } = await registry.workers.register(registration(id, rest));
  const beat = async (assignments: AssignmentReport[] = [], utilization?: number) => {
    const told = utilization === undefined ? undefined : load(utilization);
    const answer = await registry.workers.heartbeat({ workerId: id, sessionToken, load: told, assignments });
    return answer.worker;
  };
  return { worker, sessionToken, beat };
}

function report(assignmentId: string, rest: Partial<AssignmentReport> = {}): AssignmentReport {
  return {
    assignmentId,
    state: "READY",
    message: "",
    address: "10.0.0.7:8000",
    gpuIndices: [0],
    localPath: "/var/models/m",
    completedBytes: 1,
    totalBytes: 1,
    ...rest,
  };
}

const assign = (workerId: string, rest = {}) =>
  registry.workers.assign({ ref: { modelId: "m" }, workerId, target: "SERVING", launch, dryRun: false, ...rest });

describe("register", () => {
  test("answers the worker, a token and a lease", async () => {
    const before = await sequenceOf(registry.sql);
    const { worker, sessionToken, leaseMs } = await registry.workers.register(
      registration("Alpha", { labels: { zone: "a" } }),
    );
    expect(worker).toMatchObject({
      ...registration("Alpha"),
      labels: { zone: "a" },
      status: "ONLINE",
      cordoned: false,
      assignmentCount: 0,
    });
    expect(worker.load).toBeUndefined();
    expect(leaseMs).toBe(30_000);
    const left = worker.leaseExpireTime.getTime() - worker.lastSeenTime.getTime();
    expect(Math.abs(left - leaseMs)).toBeLessThan(1000);
    expect(Buffer.from(sessionToken, "base64url")).toHaveLength(32);
    expect(await registry.workers.get("ALPHA")).toEqual(worker);
    const [kept] = await registry.sql`select count(*)::integer as found from worker_presence p, events e
      where p::text like ${`%${sessionToken}%`} or e::text like ${`%${sessionToken}%`}`;
    expect(kept?.found).toBe(0);
    expect((await eventsAfter(registry.sql, before)).map(({ kind, noun }) => `${noun} ${kind}`)).toEqual([
      "worker CREATED",
    ]);
  });

  test("gives an id to a worker that has none", async () => {
    const [one, two] = await Promise.all([
      registry.workers.register(registration("")),
      registry.workers.register(registration("")),
    ]);
    expect(one.worker.id).not.toBe(two.worker.id);
    expect((await registry.workers.get(one.worker.id)).id).toBe(one.worker.id);
  });

  test("again replaces the session and keeps assignments and wishes", async () => {
    const former = await join("again");
    await assign("again");
    await registry.workers.update("again", { cordoned: true, labels: { zone: "changed", pool: "added" } }, "");
    const declared = { address: "other:1", labels: { zone: "b" } };
    const { worker, sessionToken } = await registry.workers.register(registration("AGAIN", declared));
    expect(worker.labels).toEqual({ zone: "b" });
    expect(worker).toMatchObject({
      id: "again",
      address: "other:1",
      cordoned: true,
      assignmentCount: 1,
      createTime: former.worker.createTime,
    });
    expect(worker.etag).not.toBe(former.worker.etag);
    await expect(former.beat()).rejects.toEqual(reason("SESSION_STALE"));
    await registry.workers.heartbeat({ workerId: "Again", sessionToken, assignments: [] });
  });

  test("at once from two places leaves one session", async () => {
    const results = await Promise.all(
      [1, 2, 3, 4].map((n) => registry.workers.register(registration("twice", { address: `${n}` }))),
    );
    const beats = await Promise.allSettled(
      results.map(({ sessionToken }) =>
        registry.workers.heartbeat({ workerId: "twice", sessionToken, assignments: [] }),
      ),
    );
    expect(beats.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });
});

describe("heartbeat", () => {
  test("refuses the unknown and the wrong token", async () => {
    const { sessionToken } = await join("known");
    await expect(registry.workers.heartbeat({ workerId: "nobody", sessionToken, assignments: [] })).rejects.toEqual(
      reason("WORKER_NOT_FOUND"),
    );
    await expect(registry.workers.heartbeat({ workerId: "known", sessionToken: "x", assignments: [] })).rejects.toEqual(
      reason("SESSION_STALE"),
    );
  });

  test("keeps the load without an event, but for BUSY and back", async () => {
    const { worker, beat } = await join("loaded");
    const before = await sequenceOf(registry.sql);
    const seen = await beat([], 0.5);
    expect(seen).toMatchObject({ status: "ONLINE", load: load(0.5), etag: worker.etag });
    expect(seen.leaseExpireTime.getTime()).toBeGreaterThanOrEqual(worker.leaseExpireTime.getTime());
    expect((await beat()).load).toEqual(load(0.5));
    expect(await sequenceOf(registry.sql)).toBe(before);
    const busy = await beat([], 0.9);
    expect(busy.status).toBe("BUSY");
    expect(busy.etag).not.toBe(worker.etag);
    expect((await beat()).status).toBe("BUSY");
    expect((await beat([], 0.89)).status).toBe("ONLINE");
    const events = await eventsAfter(registry.sql, before);
    expect(events.map(({ kind, resource }) => `${kind} ${resource.status}`)).toEqual([
      "UPDATED BUSY",
      "UPDATED ONLINE",
    ]);
  });

  test("of many workers at once is written in few transactions", async () => {
    const ids = Array.from({ length: 150 }, (_, index) => `many-${index}`);
    const workers = await Promise.all(ids.map((id) => join(id)));
    const transactions = async () => {
      const [row] =
        await registry.sql`select count(distinct xmin::text)::integer as count from worker_presence where worker_id like 'many-%'`;
      return row?.count;
    };
    const answers = await Promise.all(workers.map(({ beat }, index) => beat([], index % 2 === 0 ? 0.1 : 0.95)));
    expect(answers.map(({ id }) => id)).toEqual(ids);
    for (const [index, { status }] of answers.entries()) expect(status).toBe(index % 2 === 0 ? "ONLINE" : "BUSY");
    expect(await transactions()).toBeLessThan(5);
  });

  test("to two processes at once makes one event of one change", async () => {
    const { sessionToken } = await join("doubled");
    const other = await registry.another();
    const before = await sequenceOf(registry.sql);
    const beat = { workerId: "doubled", sessionToken, load: load(1), assignments: [] };
    let beats: Promise<{ worker: Worker }[]> | undefined;
    await registry.sql.begin(async (tx) => {
      await tx`select 1 from worker_presence where worker_id = 'doubled' for update`;
      beats = Promise.all([registry.workers.heartbeat(beat), other.workers.heartbeat(beat)]);
      await untilWaiting(registry.sql, 2);
    });
    expect((await beats)?.map(({ worker }) => worker.status)).toEqual(["BUSY", "BUSY"]);
    expect(await eventsAfter(registry.sql, before)).toHaveLength(1);
  });

  test("that cannot be written is found in few transactions", async () => {
    const ids = Array.from({ length: 64 }, (_, index) => `flock-${index}`);
    const flock = await Promise.all(ids.map((id) => join(id)));
    const { id } = await assign("flock-40");
    const results = await Promise.allSettled(
      flock.map(({ beat }, index) => beat(index === 40 ? [report(id, { message: "a\0b" })] : [])),
    );
    expect(results.flatMap(({ status }, index) => (status === "rejected" ? [index] : []))).toEqual([40]);
    const [row] = await registry.sql`
      select count(distinct xmin::text)::integer as count from worker_presence where worker_id like 'flock-%'`;
    expect(row?.count).toBeLessThan(12);
  });

  test("that cannot be written does not take others with it", async () => {
    const [good, bad] = [await join("good"), await join("bad")];
    const { id } = await assign("bad");
    const results = await Promise.allSettled([
      good.beat([], 0.3),
      bad.beat([report(id, { message: "a\0b" })]),
      good.beat([], 0.4),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(results[1]).toMatchObject({ reason: reason("FIELD_INVALID") });
    expect((await registry.workers.get("good")).load).toEqual(load(0.4));
  });
});

describe("assign", () => {
  test("wants a version on a worker once, and changes what is wanted", async () => {
    await join("assigned");
    const before = await sequenceOf(registry.sql);
    const first = await assign("ASSIGNED");
    expect(first).toMatchObject({
      workerId: "assigned",
      modelId: "M",
      version: 2,
      target: "SERVING",
      launch,
      state: "PENDING",
      deploymentId: "",
    });
    expect(await assign("assigned")).toEqual(first);
    const changed = await assign("assigned", { target: "CACHED" });
    expect(changed).toMatchObject({ id: first.id, target: "CACHED" });
    const other = await assign("assigned", { ref: { modelId: "M", version: 1 } });
    expect(other.version).toBe(1);
    await registry.models.setAlias("M", "stable", 1);
    expect((await assign("assigned", { ref: { modelId: "M", alias: "Stable" } })).id).toBe(other.id);
    expect((await registry.workers.listAssignments("Assigned")).map(({ id }) => id)).toEqual([first.id, other.id]);
    expect((await registry.workers.get("assigned")).assignmentCount).toBe(2);
    const kinds = (await eventsAfter(registry.sql, before))
      .filter(({ noun }) => noun === "assignment")
      .map(({ kind }) => kind);
    expect(kinds).toEqual(["CREATED", "UPDATED", "CREATED"]);
  });

  test("makes one of racing calls", async () => {
    await join("popular");
    const made = await Promise.all(Array.from({ length: 6 }, () => assign("popular")));
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
  });

  test("writes nothing in a dry run", async () => {
    await join("dry");
    const before = await sequenceOf(registry.sql);
    expect(await assign("dry", { dryRun: true })).toMatchObject({
      id: "",
      workerId: "dry",
      version: 2,
      state: "PENDING",
    });
    expect(await registry.workers.listAssignments("dry")).toEqual([]);
    expect(await sequenceOf(registry.sql)).toBe(before);
  });

  test("refuses what cannot be", async () => {
    await join("strict");
    await expect(assign("nobody")).rejects.toEqual(reason("WORKER_NOT_FOUND"));
    await expect(assign("strict", { ref: { modelId: "nobody" } })).rejects.toEqual(reason("MODEL_NOT_FOUND"));
    await expect(assign("strict", { ref: { modelId: "M", version: 9 } })).rejects.toEqual(reason("VERSION_NOT_FOUND"));
    await expect(assign("strict", { ref: { modelId: "M", alias: "no" } })).rejects.toEqual(reason("ALIAS_NOT_FOUND"));
    await registry.models.create(newModel("empty"), {});
    await expect(assign("strict", { ref: { modelId: "empty" } })).rejects.toEqual(reason("VERSION_NOT_FOUND"));
    await registry.workers.update("strict", { cordoned: true }, "");
    await expect(assign("strict")).rejects.toEqual(reason("STATE_INVALID"));
    await expect(registry.workers.listAssignments("nobody")).rejects.toEqual(reason("WORKER_NOT_FOUND"));
  });
});

describe("what a worker reports", () => {
  test("is kept, and makes an event unless it is progress alone", async () => {
    const { beat } = await join("reporting");
    const { id, updateTime } = await assign("reporting");
    const before = await sequenceOf(registry.sql);
    const pulling = { state: "PULLING", address: "", gpuIndices: [], completedBytes: 5, totalBytes: 10 } as const;
    await beat([report(id, pulling)]);
    await beat([report(id, { ...pulling, completedBytes: 7 })]);
    const [kept] = await registry.workers.listAssignments("reporting");
    expect(kept).toMatchObject({ id, state: "PULLING", completedBytes: 7, totalBytes: 10, localPath: "/var/models/m" });
    await beat([report(id, { totalBytes: undefined })]);
    const [ready] = await registry.workers.listAssignments("reporting");
    expect(ready).toMatchObject({ state: "READY", address: "10.0.0.7:8000", gpuIndices: [0] });
    expect(ready?.totalBytes).toBeUndefined();
    expect(ready?.updateTime.getTime()).toBeGreaterThanOrEqual(updateTime.getTime());
    const states = (await eventsAfter(registry.sql, before)).map(({ resource }) => resource.state);
    expect(states).toEqual(["PULLING", "READY"]);
  });

  test("is written in the order of the assignments' ids, as others lock them", async () => {
    const { beat } = await join("orderly");
    const first = await assign("orderly");
    const second = await assign("orderly", { ref: { modelId: "M", version: 1 } });
    // Its row lies behind the other's now.
    await assign("orderly", { target: "CACHED" });
    let answer: Promise<Worker> | undefined;
    await registry.sql.begin(async (tx) => {
      await tx`select 1 from assignments where id = ${first.id} for update`;
      answer = beat([report(second.id), report(first.id)]);
      await untilWaiting(registry.sql, 1);
      expect(await tx`select 1 from assignments where id = ${second.id} for update skip locked`).toHaveLength(1);
    });
    await answer;
    const states = (await registry.workers.listAssignments("orderly")).map(({ state }) => state);
    expect(states).toEqual(["READY", "READY"]);
  });

  test("about another worker's assignment, or none, is passed over", async () => {
    const { beat } = await join("meddling");
    await join("meddled");
    const { id } = await assign("meddled");
    await beat([report(id), report("01890a5d-ac96-774b-bcce-b302099a8057"), report("nonsense")]);
    expect((await registry.workers.listAssignments("meddled"))[0]?.state).toBe("PENDING");
  });

  test("no longer sends an assignment back to PENDING", async () => {
    const { beat } = await join("forgetful");
    const { id } = await assign("forgetful");
    await beat([]);
    expect((await registry.workers.listAssignments("forgetful"))[0]).toMatchObject({ id, state: "PENDING" });
    await beat([report(id)]);
    await beat([]);
    expect((await registry.workers.listAssignments("forgetful"))[0]).toMatchObject({
      id,
      state: "PENDING",
      address: "",
      gpuIndices: [],
      completedBytes: 0,
    });
  });

  test("cannot undo that an assignment was taken back", async () => {
    const { beat } = await join("stubborn");
    const { id } = await assign("stubborn");
    await beat([report(id)]);
    const before = await sequenceOf(registry.sql);
    await registry.workers.unassign({ assignmentId: id });
    await registry.workers.unassign({ modelId: "M", workerId: "STUBBORN" });
    await beat([report(id)]);
    expect((await registry.workers.listAssignments("stubborn"))[0]?.state).toBe("REMOVING");
    await expect(assign("stubborn")).rejects.toEqual(reason("OPERATION_CONFLICT"));
    const worker = await beat([]);
    expect(worker.assignmentCount).toBe(0);
    expect(await registry.workers.listAssignments("stubborn")).toEqual([]);
    const events = await eventsAfter(registry.sql, before);
    expect(events.map(({ kind, resource }) => `${kind} ${resource.state}`)).toEqual([
      "UPDATED REMOVING",
      "DELETED REMOVING",
    ]);
    expect((await assign("stubborn")).id).not.toBe(id);
  });
});

describe("unassign", () => {
  test("removes at once what was never taken up", async () => {
    await join("idle");
    await assign("idle");
    await assign("idle", { ref: { modelId: "M", version: 1 } });
    await assign("idle", { ref: { modelId: "N" } });
    await registry.workers.unassign({ modelId: "m", workerId: "IDLE" });
    expect((await registry.workers.listAssignments("idle")).map(({ modelId }) => modelId)).toEqual(["N"]);
    for (const selector of [
      { modelId: "M", workerId: "idle" },
      { assignmentId: "01890a5d-ac96-774b-bcce-b302099a8057" },
      { assignmentId: "nonsense" },
    ]) {
      await expect(registry.workers.unassign(selector)).rejects.toEqual(reason("ASSIGNMENT_NOT_FOUND"));
    }
  });
});

describe("update and delete", () => {
  test("an update is guarded by the etag and changes nothing else", async () => {
    const { worker } = await join("updated", { labels: { zone: "a" } });
    const changed = await registry.workers.update("UPDATED", { cordoned: true, labels: { zone: "b" } }, worker.etag);
    expect(changed).toMatchObject({ cordoned: true, labels: { zone: "b" }, address: worker.address });
    await expect(registry.workers.update("updated", { cordoned: false }, worker.etag)).rejects.toEqual(
      reason("ETAG_MISMATCH"),
    );
    const before = await sequenceOf(registry.sql);
    expect(await registry.workers.update("updated", { cordoned: true }, "")).toEqual(changed);
    expect(await sequenceOf(registry.sql)).toBe(before);
    await expect(registry.workers.update("nobody", {}, "")).rejects.toEqual(reason("WORKER_NOT_FOUND"));
  });

  test("a deletion takes the assignments with it", async () => {
    const { beat } = await join("leaving");
    await assign("leaving");
    const before = await sequenceOf(registry.sql);
    await registry.workers.delete("LEAVING");
    const events = await eventsAfter(registry.sql, before);
    expect(events.map(({ kind, noun }) => `${noun} ${kind}`)).toEqual(["assignment DELETED", "worker DELETED"]);
    await expect(registry.workers.get("leaving")).rejects.toEqual(reason("WORKER_NOT_FOUND"));
    await expect(registry.workers.delete("leaving")).rejects.toEqual(reason("WORKER_NOT_FOUND"));
    await expect(beat()).rejects.toEqual(reason("WORKER_NOT_FOUND"));
  });
});

describe("list", () => {
  test("counts with the first page who is online, BUSY ones too", async () => {
    await using other = await openRegistry();
    const tokens: string[] = [];
    for (const id of ["c", "B", "a", "d"]) tokens.push((await other.workers.register(registration(id))).sessionToken);
    await other.workers.heartbeat({ workerId: "c", sessionToken: tokens[0] ?? "", load: load(1), assignments: [] });
    await other.sql`update workers set status = 'OFFLINE' where id = 'd'`;
    const first = await other.workers.list({ size: 3, token: "" });
    expect(first.items.map(({ id, status }) => `${id} ${status}`)).toEqual(["B ONLINE", "a ONLINE", "c BUSY"]);
    expect(first).toMatchObject({ totalSize: 4, onlineCount: 3, sequence: 5 });
    await other.workers.delete("B");
    const second = await other.workers.list({ size: 3, token: first.nextToken });
    expect(second.items.map(({ id }) => id)).toEqual(["d"]);
    expect(second).toMatchObject({ totalSize: 4, onlineCount: 3, sequence: 5, nextToken: "" });
  });
});
