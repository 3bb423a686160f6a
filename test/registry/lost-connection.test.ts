import { sql } from "drizzle-orm";
import postgres from "postgres";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Database } from "../../src/registry/database.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { quiet } from "./open-registry.ts";

let cluster: TestDatabase;
let administrator: postgres.Sql;
let database: Database;
beforeEach(async () => {
  cluster = await createTestDatabase();
  administrator = postgres({ ...cluster.connection, max: 1 });
  await administrator`create table notes (text text)`;
  // One connection, so that what comes after a lost one runs on the same one, made anew.
  database = new Database({ connection: cluster.connection, log: quiet, maxConnections: 1 });
  database.open();
});
afterEach(async () => {
  await database.close();
  await administrator.end();
  await cluster.drop();
});

const note = (text: string) => sql`insert into notes values (${text})`;
const notes = async () => (await administrator`select text from notes order by text`).map(({ text }) => text);

/** Ends the connection of the service as the server's own end would. */
async function cut(): Promise<void> {
  const mine = administrator`select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`;
  expect(await mine).toHaveLength(1);
}

const away = { reason: "DATABASE_UNAVAILABLE" };

test("a transaction whose connection ends while it waits for something else is told so", async () => {
  const lost = database.transact(async (tx) => {
    await tx.execute(note("lost"));
    await cut();
    await tx.execute(note("late"));
  });
  await expect(lost).rejects.toMatchObject(away);
  await database.transact(async (tx) => void (await tx.execute(note("kept"))));
  expect(await notes()).toEqual(["kept"]);
});

test("a transaction whose connection ends under its statement is told so", async () => {
  const lost = database.transact(async (tx) => {
    await tx.execute(note("lost"));
    await Promise.all([tx.execute(sql`select pg_sleep(4)`), cut()]);
  });
  await expect(lost).rejects.toMatchObject(away);
  // The driver tells the first query of the next connection once more why the former one ended.
  const kept = () => database.transact(async (tx) => void (await tx.execute(note("kept"))));
  await kept().catch(kept);
  expect(await notes()).toEqual(["kept"]);
});

test("a lost transaction's end does not commit the next one on its connection", async () => {
  const begun = Promise.withResolvers<void>();
  const lostMayEnd = Promise.withResolvers<void>();
  const lost = database.transact(async (tx) => {
    await tx.execute(note("lost"));
    begun.resolve();
    await lostMayEnd.promise;
  });
  await begun.promise;
  await cut();
  const next = database.transact(async (tx) => {
    await tx.execute(note("next"));
    lostMayEnd.resolve();
    await lost.catch(() => {});
    throw new Error("undone");
  });
  await expect(lost).rejects.toMatchObject(away);
  await expect(next).rejects.toThrow();
  expect(await notes()).toEqual([]);
});
