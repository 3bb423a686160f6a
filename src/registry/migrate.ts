import { drizzle } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import { type ConnectionTarget, connect } from "./database.ts";
import { translateDatabaseError } from "./database-errors.ts";

/** Any number that no other program uses for its own locks in this database. */
const MIGRATION_LOCK = 7_310_573_116;

/**
 * Brings the schema up to date. Processes that start together take turns: the lock belongs to the one connection, and
 * ends with it. The connection must be a direct one, since a pooler would spread its statements over several sessions.
 *
 * @throws DomainError DATABASE_UNAVAILABLE if the database is away.
 */
export async function migrateDatabase(connection: ConnectionTarget, migrationsFolder: string): Promise<void> {
  const client = connect(connection, { max: 1, connection: { application_name: "model-manager-migration" } });
  try {
    await client`select pg_advisory_lock(${MIGRATION_LOCK})`;
    await migrate(drizzle(client), { migrationsFolder });
  } catch (error) {
    throw translateDatabaseError(error);
  } finally {
    await client.end({ timeout: 1 });
  }
}
