import { DrizzleQueryError } from "drizzle-orm";
import { DomainError, isDomainError } from "../domain/errors.ts";

/** SQLSTATEs, and classes of them, that say that the database cannot serve now: it may later. */
const UNAVAILABLE = new Set([
  "08", // connection failures
  "28", // the server does not let us in: an operator has to act, no caller
  "53", // too many connections, out of memory
  "55P03", // a lock was not had in time
  "57", // shutdown, crash, starting up, statement time-out
  "58", // system errors, such as of its disk
  "25006", // a read-only replica
  "25P03", // idle in a transaction for too long
  "3D000", // no such database
]);

/** Codes of the driver and of Node that mean the same. */
const UNREACHABLE = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EACCES",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

/** Two transactions stood in each other's way, and the database undid this one: it can be tried again at once. */
const RETRIABLE = new Set(["40001", "40P01"]);

/** Texts that PostgreSQL does not take: NUL, halves of surrogate pairs. */
const UNSTORABLE = new Set(["22021", "22P05", "22P02"]);

/** The error of the database or the driver itself, without the query and its parameters that Drizzle adds. */
function driverError(error: unknown): unknown {
  return error instanceof DrizzleQueryError ? error.cause : error;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** Whether a transaction failed for nothing but its timing. */
export function isRetriable(error: unknown): boolean {
  return RETRIABLE.has(codeOf(driverError(error)));
}

/** DATABASE_UNAVAILABLE with what raised it. */
export function databaseUnavailable(cause?: unknown): DomainError {
  return new DomainError("DATABASE_UNAVAILABLE", "the database cannot be reached or does not answer in time", {
    cause,
  });
}

/**
 * What a failure of the database means to a caller: DATABASE_UNAVAILABLE, DISK_FULL or FIELD_INVALID where it is
 * understood; other errors are answered as they are, which is a fault of ours.
 */
export function translateDatabaseError(error: unknown): unknown {
  if (isDomainError(error)) return error;
  const cause = driverError(error);
  const code = codeOf(cause);
  if (code === "53100") return new DomainError("DISK_FULL", "the disk of the database is full", { cause });
  if (UNREACHABLE.has(code) || RETRIABLE.has(code) || UNAVAILABLE.has(code) || UNAVAILABLE.has(code.slice(0, 2))) {
    return databaseUnavailable(cause);
  }
  if (UNSTORABLE.has(code)) {
    return new DomainError(
      "FIELD_INVALID",
      "a text of the request holds characters that cannot be stored, such as NUL",
      {
        cause,
      },
    );
  }
  return cause;
}
