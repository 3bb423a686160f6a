import { DomainError } from "../../domain/errors.ts";

/** The error for bytes that are not those that were announced. */
export function mismatch(path: string, from: string, what: string, metadata: Record<string, string> = {}): DomainError {
  return new DomainError("CONTENT_MISMATCH", `file '${path}' from '${from}': ${what}`, {
    metadata: { path, ...metadata },
  });
}
