import { DomainError, isDomainError } from "../domain/errors.ts";
import { isDiskFull } from "../lib/system-error.ts";

/** What a failed operation on the store's disk means to the caller: DISK_FULL, or else STORE_UNAVAILABLE. */
export function diskError(cause: unknown): DomainError {
  if (isDomainError(cause)) return cause;
  if (isDiskFull(cause)) return new DomainError("DISK_FULL", "the store's disk is full", { cause });
  return new DomainError("STORE_UNAVAILABLE", "the store's disk cannot be used", { cause });
}

/** Runs an operation on the store's disk and raises its failure as {@link diskError}. */
export async function onDisk<Result>(operation: () => Promise<Result>): Promise<Result> {
  try {
    return await operation();
  } catch (error) {
    throw diskError(error);
  }
}
