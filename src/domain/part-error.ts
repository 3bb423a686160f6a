import { isDiskFull, systemCode } from "../lib/system-error.ts";
import { DomainError, isDomainError } from "./errors.ts";

/** What a failure while a part is written or read means: a system's error is DISK_FULL or STORE_UNAVAILABLE, others stay. */
export function partError(error: unknown): unknown {
  if (isDomainError(error) || systemCode(error) === undefined) return error;
  if (isDiskFull(error)) return new DomainError("DISK_FULL", "the store's disk is full", { cause: error });
  return new DomainError("STORE_UNAVAILABLE", "the store's disk cannot be used", { cause: error });
}
