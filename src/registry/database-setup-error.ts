import type postgres from "postgres";
import { isDomainError } from "../domain/errors.ts";
import { systemCode } from "../lib/system-error.ts";
import { translateDatabaseError } from "./database-errors.ts";

/**
 * The schema could not be brought up to date. The message is for the operator alone: it says where the database is and
 * what went wrong there, and never a password.
 */
export class DatabaseSetupError extends Error {
  override readonly name = "DatabaseSetupError";
  /** It may pass by itself: the server is away or just starting. Else the operator has to act. */
  readonly transient: boolean;

  constructor(message: string, transient: boolean, cause: unknown) {
    super(message, { cause });
    this.transient = transient;
  }
}

/** Where a client of postgres.js connects to. */
export type ConnectionPlace = Pick<
  postgres.ParsedOptions<Record<string, never>>,
  "host" | "port" | "path" | "database"
>;

/** SQLSTATEs of a server that is there and does not have us as we are: wrong password, no such role, no such database. */
const REFUSALS: readonly string[] = ["28P01", "28000", "3D000"];

/** What Node says when the server answers, and TLS with it cannot be: it speaks none. */
const NO_TLS = /before secure TLS connection was established/;

/** Says why the database at `place` could not be set up. */
export function databaseSetupError(error: unknown, place: ConnectionPlace): DatabaseSetupError {
  const translated = translateDatabaseError(error);
  const away = isDomainError(translated, "DATABASE_UNAVAILABLE");
  const cause = away ? translated.cause : translated;
  const words = wordsOf(cause);
  const refused = REFUSALS.includes(systemCode(cause) ?? "") || NO_TLS.test(words);
  return new DatabaseSetupError(`${describePlace(place)}: ${words}`, away && !refused, cause);
}

function describePlace({ host, port, path, database }: ConnectionPlace): string {
  const hosts = host.map((name, index) => `${name.includes(":") ? `[${name}]` : name}:${port[index] ?? port[0]}`);
  return `database ${JSON.stringify(database)} at ${path || hosts.join(", ")}`;
}

function wordsOf(error: unknown): string {
  // A name with several addresses fails with an error for each, and none of its own.
  if (error instanceof AggregateError && error.message === "") return error.errors.map(wordsOf).join("; ");
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no answer in time";
  const code = systemCode(error);
  return code === undefined || error.message.includes(code) ? error.message : `${error.message} (${code})`;
}
