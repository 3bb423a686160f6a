import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { createRegistry } from "../../src/registry/registry.ts";
import { Cable } from "../support/cable.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { createRecordedLog } from "../support/rpc-server.ts";
import { MIGRATIONS, openRegistry, quiet } from "./open-registry.ts";

const PASSWORD = "s3cr3t-password";

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database.drop());

/** The database's server on a TCP port, as an operator's URL names one; 0 takes a free one. */
async function listen(wanted = 0): Promise<{ port: number; close: () => Promise<void> }> {
  const cable = new Cable(database.connection.path);
  return { port: await cable.open(wanted), close: () => cable.close() };
}

function open(connection: string, log = quiet) {
  return createRegistry({ connection, migrationsFolder: MIGRATIONS, log, workerLeaseMs: 1000 });
}

describe("a database that does not have us ends the start, and says where it is and what it said", () => {
  test.each([
    ["no such database", "postgres", "nowhere", "", 'database "nowhere" does not exist (3D000)'],
    ["no such role", "nobody_here", "", "", 'role "nobody_here" does not exist (28000)'],
    ["no TLS", "postgres", "", "?sslmode=require", "before secure TLS connection was established"],
  ])("%s", async (_what, user, name, query, words) => {
    const { port, close } = await listen();
    onTestFinished(close);
    const path = name || database.connection.database;
    const error = await open(`postgres://${user}:${PASSWORD}@127.0.0.1:${port}/${path}${query}`).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: "DatabaseSetupError" });
    expect(String(error)).toContain(`database "${path}" at 127.0.0.1:${port}: `);
    expect(String(error)).toContain(words);
    expect(String(error)).not.toContain(PASSWORD);
  });
});

test("a database that is away is waited for, and the log says where and why", async () => {
  const { port, close } = await listen();
  await close();
  const log = createRecordedLog();
  const registry = await open(`postgres://postgres:${PASSWORD}@127.0.0.1:${port}/models`, log);
  onTestFinished(() => registry.close());
  expect(log.lines).toContainEqual({
    level: "warn",
    message: "the database is away: waiting for it",
    fields: { cause: `database "models" at 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}` },
  });
});

test("a database that comes and does not have us ends the wait", async () => {
  const { port, close } = await listen();
  await close();
  const registry = await open(`postgres://postgres@127.0.0.1:${port}/nowhere`);
  onTestFinished(() => registry.close());
  const server = await listen(port);
  onTestFinished(server.close);
  await expect(registry.ready).rejects.toThrow('database "nowhere" does not exist (3D000)');
});

test("the probe fails while the database takes no writes", async () => {
  await using registry = await openRegistry();
  await registry.probe.check(AbortSignal.timeout(5000));
  const { database: name } = registry.database.connection;
  const turn = async (value: "on" | "off") => {
    await registry.sql.unsafe(`alter database ${name} set default_transaction_read_only = ${value}`);
    await registry.sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = ${name} and application_name = 'model-manager'`;
  };
  const check = () =>
    registry.probe.check(AbortSignal.timeout(5000)).then(
      () => "up",
      (error: Error) => String((error.cause as Error).message),
    );
  await turn("on");
  await expect.poll(check).toBe("the database takes no writes now");
  await turn("off");
  await expect.poll(check).toBe("up");
});
