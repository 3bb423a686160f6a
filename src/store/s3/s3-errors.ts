import { DomainError, isDomainError } from "../../domain/errors.ts";
import { isDiskFull } from "../../lib/system-error.ts";
import { statusOf } from "./s3-bucket.ts";

const INSUFFICIENT_STORAGE = 507;
/** What servers with an end to their room say. */
const FULL: ReadonlySet<string> = new Set(["XMinioStorageFull", "QuotaExceeded", "InsufficientStorage"]);

/** What a failed operation on the store's bucket means to the caller: DISK_FULL, or else STORE_UNAVAILABLE. */
export function bucketError(cause: unknown): DomainError {
  if (isDomainError(cause)) return cause;
  if (isDiskFull(cause)) return new DomainError("DISK_FULL", "the disk of the store's spool folder is full", { cause });
  const name = cause instanceof Error ? cause.name : "";
  if (statusOf(cause) === INSUFFICIENT_STORAGE || FULL.has(name)) {
    return new DomainError("DISK_FULL", "the store's bucket is full", { cause });
  }
  return new DomainError("STORE_UNAVAILABLE", "the store's bucket cannot be used", { cause });
}

/** Runs an operation on the store's bucket and raises its failure as {@link bucketError}; the signal's reason as it is. */
export async function onBucket<Result>(operation: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
  try {
    return await operation();
  } catch (error) {
    signal?.throwIfAborted();
    throw bucketError(error);
  }
}
