import { afterEach, beforeEach, expect, test } from "vitest";
import { Database } from "../../src/registry/database.ts";
import { Sweeper } from "../../src/registry/sweeper.ts";
import { createRecordedLog } from "../support/rpc-server.ts";
import { eventsAfter, openRegistry, quiet, sequenceOf, type TestRegistry, untilWaiting } from "./open-registry.ts";

let registry: TestRegistry;
let database: Database;
beforeEach(async () => {
  registry = await openRegistry({ workerLeaseMs: 1000 });
  database = new Database({ connection: registry.database.connection, log: quiet });
  database.open();
});
afterEach(async () => {
  await database.close();
  await registry[Symbol.asyncDispose]();
});

const capacity = { memoryBytes: 0, diskBytes: 0, maxModels: 0, gpus: [] };
const register = async (id: string) =>
  (await registry.workers.register({ id, address: "", labels: {}, capacity })).sessionToken;

/** Lets all leases have ended `ms` ago. */
const expireBy = (ms: number) =>
  registry.sql`update worker_presence set lease_expire_time = clock_timestamp() - ${ms}::integer * interval '1 ms'`;

/** Lets the last sweep have been `ms` ago. */
const lastSweepWas = (ms: number) =>
  registry.sql`update singletons set last_run_time = clock_timestamp() - ${ms}::integer * interval '1 ms'`;

test("a worker whose lease ran out is OFFLINE, with an event, and its session is over", async () => {
  const sessionToken = await register("lost");
  const sweeper = new Sweeper(database, quiet);
  expect(await sweeper.sweep()).toEqual([]);
  const before = await sequenceOf(registry.sql);
  await expireBy(1);
  expect(await sweeper.sweep()).toEqual(["lost"]);
  expect(await sweeper.sweep()).toEqual([]);
  expect(await registry.workers.get("lost")).toMatchObject({ status: "OFFLINE" });
  expect((await eventsAfter(registry.sql, before)).map(({ kind, resource }) => `${kind} ${resource.status}`)).toEqual([
    "UPDATED OFFLINE",
  ]);
  const beat = { workerId: "lost", sessionToken, assignments: [] };
  await expect(registry.workers.heartbeat(beat)).rejects.toMatchObject({ reason: "SESSION_STALE" });
  const assignment = {
    ref: { modelId: "m" },
    workerId: "lost",
    target: "CACHED",
    launch: { engine: "", args: [], env: {} },
    dryRun: false,
  } as const;
  await expect(registry.workers.assign(assignment)).rejects.toMatchObject({ reason: "MODEL_NOT_FOUND" });
  await register("lost");
  expect(await registry.workers.get("lost")).toMatchObject({ status: "ONLINE" });
});

test("a heartbeat after the lease, but before a sweep, still counts", async () => {
  const sessionToken = await register("late");
  const sweeper = new Sweeper(database, quiet);
  await sweeper.sweep();
  await expireBy(500);
  await registry.workers.heartbeat({ workerId: "late", sessionToken, assignments: [] });
  expect(await sweeper.sweep()).toEqual([]);
});

test("a pause of the sweeps prolongs every lease by it before any ends", async () => {
  await register("patient");
  const sweeper = new Sweeper(database, quiet);
  await sweeper.sweep();
  const left = async () => {
    const [row] = await registry.sql<{ left: number }[]>`
      select extract(epoch from lease_expire_time - clock_timestamp())::float8 * 1000 as left from worker_presence`;
    return row?.left ?? Number.NaN;
  };
  await expireBy(59_000);
  await lastSweepWas(60_000);
  expect(await sweeper.sweep()).toEqual([]);
  expect(await left()).toBeGreaterThan(0);
  expect(await left()).toBeLessThan(1100);
  expect((await registry.workers.get("patient")).status).toBe("ONLINE");
  await expireBy(1);
  expect(await sweeper.sweep()).toEqual(["patient"]);
});

test("a pause is told only if there were workers to wait for", async () => {
  const log = createRecordedLog();
  const sweeper = new Sweeper(database, log);
  await sweeper.sweep();
  await lastSweepWas(60_000);
  await sweeper.sweep();
  expect(log.lines).toEqual([]);
  await register("patient");
  await lastSweepWas(60_000);
  await sweeper.sweep();
  expect(log.lines).toMatchObject([{ level: "info", fields: { workers: 1 } }]);
});

test("leases are prolonged in the order of ids, as heartbeats lock them", async () => {
  await register("b");
  await register("a");
  const sweeper = new Sweeper(database, quiet);
  await sweeper.sweep();
  await lastSweepWas(60_000);
  let swept: Promise<readonly string[]> | undefined;
  await registry.sql.begin(async (tx) => {
    await tx`select 1 from worker_presence where worker_id = 'a' for update`;
    swept = sweeper.sweep();
    await untilWaiting(registry.sql, 1);
    expect(await tx`select 1 from worker_presence where worker_id = 'b' for update skip locked`).toHaveLength(1);
  });
  expect(await swept).toEqual([]);
});

test("a pause that is none of ours prolongs nothing", async () => {
  await register("gone");
  const sweeper = new Sweeper(database, quiet);
  await sweeper.sweep();
  await expireBy(10);
  await lastSweepWas(1500);
  expect(await sweeper.sweep()).toEqual(["gone"]);
});

test("one process sweeps for all, and another takes over when it is gone", async () => {
  const [one, two] = [new Sweeper(database, quiet), new Sweeper(database, quiet)];
  await register("watched");
  await one.sweep();
  await expireBy(1);
  expect(await two.sweep()).toEqual([]);
  await registry.sql`update singletons set lease_expire_time = clock_timestamp()`;
  expect(await two.sweep()).toEqual(["watched"]);
  await register("watched");
  await expireBy(1);
  expect(await one.sweep()).toEqual([]);
});

test("a started sweeper finds a worker within a second of its lease's end", async () => {
  registry.startSweeper();
  const { worker } = await registry.workers.register({ id: "silent", address: "", labels: {}, capacity });
  await expect
    .poll(async () => (await registry.workers.get("silent")).status, { timeout: 5000, interval: 50 })
    .toBe("OFFLINE");
  const { updateTime } = await registry.workers.get("silent");
  expect(updateTime.getTime() - worker.leaseExpireTime.getTime()).toBeGreaterThanOrEqual(0);
  expect(updateTime.getTime() - worker.leaseExpireTime.getTime()).toBeLessThan(1000);
});
