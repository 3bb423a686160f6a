import { drizzle } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import { type ConnectionTarget, connect } from "./database.ts";
import { databaseUnavailable } from "./database-errors.ts";
import { databaseSetupError } from "./database-setup-error.ts";

/** Whoever migrates holds the advisory lock of this number: any that no other program uses in this database. */
export const MIGRATION_LOCK = 7_310_573_116;

/** How long to wait for a connection, in milliseconds: the driver itself would go on trying for as long as a peer hangs up on it. */
const CONNECT_TIMEOUT_MS = 3000;

/**
 * Brings the schema up to date. Processes that start together take turns: the lock belongs to the one connection, and
 * ends with it. The connection must be a direct one, since a pooler would spread its statements over several sessions.
 *
 * @throws DatabaseSetupError, a transient one if the database is away or `signal` fires.
 */
export async function migrateDatabase(
  connection: ConnectionTarget,
  migrationsFolder: string,
  signal: AbortSignal,
): Promise<void> {
  const client = connect(connection, { max: 1, connection: { application_name: "model-manager-migration" } });
  try {
    await until(AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]), client`select 1`);
    await until(signal, client`select pg_advisory_lock(${MIGRATION_LOCK})`);
    await until(signal, migrate(drizzle(client), { migrationsFolder }));
  } catch (error) {
    throw databaseSetupError(error, client.options);
  } finally {
    await client.end({ timeout: 0 });
  }
}

/** Waits for work of the database, but no longer than until `signal` fires. */
async function until(signal: AbortSignal, work: PromiseLike<unknown>): Promise<void> {
  const { promise: given, reject } = Promise.withResolvers<never>();
  const giveUp = () => reject(databaseUnavailable(signal.reason));
  signal.addEventListener("abort", giveUp);
  if (signal.aborted) giveUp();
  try {
    await Promise.race([work, given]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}
