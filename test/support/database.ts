import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";
import type { EmbeddedConnection } from "../../src/registry/embedded/server.ts";

/** An empty database of the run's server, for one test file. */
export interface TestDatabase {
  /** Can be handed to `postgres()` as it is. */
  readonly connection: EmbeddedConnection;
  /** Removes the database, and ends whatever connections are left to it. */
  drop(): Promise<void>;
}

/** Creates a database with a name of its own on the run's server. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = inject("database");
  const name = `test_${randomBytes(8).toString("hex")}`;
  await administer((sql) => sql`create database ${sql(name)}`);
  return {
    connection: { ...server, database: name },
    async drop() {
      await administer((sql) => sql`drop database if exists ${sql(name)} with (force)`);
    },
  };
}

async function administer(statement: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres({ ...inject("database"), max: 1, onnotice: () => {} });
  try {
    await statement(sql);
  } finally {
    await sql.end();
  }
}
