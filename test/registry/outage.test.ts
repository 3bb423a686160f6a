import postgres from "postgres";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MIGRATION_LOCK } from "../../src/registry/migrate.ts";
import { createRegistry, type Registry } from "../../src/registry/registry.ts";
import { Cable } from "../support/cable.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { byId, MIGRATIONS, newModel, quiet, untilWaiting } from "./open-registry.ts";

let database: TestDatabase;
let cable: Cable;
let registry: Registry | undefined;
beforeEach(async () => {
  database = await createTestDatabase();
  cable = new Cable(database.connection.path);
});
afterEach(async () => {
  await registry?.close();
  await cable.close();
  await database.drop();
});

async function open(): Promise<Registry> {
  const { user, database: name } = database.connection;
  registry = await createRegistry({
    connection: { host: "127.0.0.1", port: await cable.open(), user, database: name },
    migrationsFolder: MIGRATIONS,
    log: quiet,
    workerLeaseMs: 30_000,
    statementTimeoutMs: 2000,
  });
  return registry;
}

const away = { reason: "DATABASE_UNAVAILABLE" };
const signal = () => AbortSignal.timeout(5000);
const capacity = { memoryBytes: 0, diskBytes: 0, maxModels: 0, gpus: [] };

async function expectAway({ models, workers, jobs, probe }: Registry): Promise<void> {
  const since = performance.now();
  await Promise.all(
    [
      models.create(newModel("a"), {}),
      models.get("a"),
      models.list({ size: 5, token: "", order: byId }),
      workers.register({ id: "w", address: "", labels: {}, capacity }),
      workers.heartbeat({ workerId: "w", sessionToken: "x", assignments: [] }),
      jobs.claim("me", 1, 1000),
      probe.check(signal()),
    ].map((call) => expect(call).rejects.toMatchObject(away)),
  );
  expect(performance.now() - since).toBeLessThan(5000);
}

async function expectBack({ models, workers, probe }: Registry): Promise<void> {
  await expect
    .poll(
      () =>
        probe.check(signal()).then(
          () => "back",
          () => "away",
        ),
      { timeout: 8000 },
    )
    .toBe("back");
  await models.create(newModel("b"), {});
  expect((await models.get("b")).id).toBe("b");
  const { sessionToken } = await workers.register({ id: "w", address: "", labels: {}, capacity });
  await workers.heartbeat({ workerId: "w", sessionToken, assignments: [] });
}

test.each(["cut", "silent"] as const)(
  "a database that is away (%s) is told within seconds, and found again",
  async (mode) => {
    const opened = await open();
    await opened.models.create(newModel("a"), {});
    cable.break(mode);
    await expectAway(opened);
    cable.mode = "on";
    if (mode === "silent") {
      // Bytes were lost, so that these connections are of no use any more; the peer's reset is what ends them.
      cable.break("cut");
      cable.mode = "on";
    }
    await expectBack(opened);
  },
);

test("a registry starts without its database and goes on when it comes", async () => {
  cable.break("cut");
  const opened = await open();
  await expectAway(opened);
  cable.mode = "on";
  await opened.ready;
  await expectBack(opened);
});

test("a registry that waits for its database can be closed", async () => {
  cable.break("cut");
  const opened = await open();
  await opened.close();
  await expect(opened.ready).rejects.toThrow();
});

test("a registry that waits for another process's migration can be closed", async () => {
  cable.break("cut");
  const opened = await open();
  const other = postgres({ ...database.connection, max: 2 });
  try {
    await other.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(${MIGRATION_LOCK})`;
      cable.mode = "on";
      await untilWaiting(other, 1);
      await opened.close();
    });
  } finally {
    await other.end();
  }
  await expect(opened.ready).rejects.toThrow();
});

test("processes that start together bring the schema up to date in turn", async () => {
  const options = { connection: database.connection, migrationsFolder: MIGRATIONS, log: quiet, workerLeaseMs: 1000 };
  const registries = await Promise.all(Array.from({ length: 4 }, () => createRegistry(options)));
  await Promise.all(registries.map(({ models }, index) => models.create(newModel(`m${index}`), {})));
  await Promise.all(registries.map((each) => each.close()));
  registry = await createRegistry(options);
  expect((await registry.models.list({ size: 9, token: "", order: byId })).totalSize).toBe(4);
});
