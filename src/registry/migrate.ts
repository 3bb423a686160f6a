import { drizzle } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import type postgres from "postgres";
import { type ConnectionTarget, connect } from "./database.ts";
import { databaseUnavailable, translateDatabaseError } from "./database-errors.ts";

/** Any number that no other program uses for its own locks in this database. */
const MIGRATION_LOCK = 7_310_573_116;

/** How long to wait for a connection, in milliseconds: the driver itself would go on trying for as long as a peer hangs up on it. */
const CONNECT_TIMEOUT_MS = 3000;

/**
 * Brings the schema up to date. Processes that start together take turns: the lock belongs to the one connection, and
 * ends with it. The connection must be a direct one, since a pooler would spread its statements over several sessions.
 *
 * @throws DomainError DATABASE_UNAVAILABLE if the database is away, or if `signal` fires before it is reached.
 */
export async function migrateDatabase(
  connection: ConnectionTarget,
  migrationsFolder: string,
  signal: AbortSignal,
): Promise<void> {
  const client = connect(connection, { max: 1, connection: { application_name: "model-manager-migration" } });
  try {
    await reach(client, AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]));
    await client`select pg_advisory_lock(${MIGRATION_LOCK})`;
    await migrate(drizzle(client), { migrationsFolder });
  } catch (error) {
    throw translateDatabaseError(error);
  } finally {
    await client.end({ timeout: 0 });
  }
}

async function reach(client: postgres.Sql, signal: AbortSignal): Promise<void> {
  const { promise: given, reject } = Promise.withResolvers<never>();
  const giveUp = () => reject(databaseUnavailable(signal.reason));
  signal.addEventListener("abort", giveUp);
  try {
    await Promise.race([client`select 1`, given]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}
