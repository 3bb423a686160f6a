import { DomainError } from "../domain/errors.ts";

/** What is wrong with a file, in words for whoever asks for the version. */
export class MetadataProblem extends Error {
  override readonly name = "MetadataProblem";
}

/** Why a file could not be read, as `path: reason`; faults of ours are not described. */
export function describeProblem(path: string, error: unknown): string {
  const isMeant = error instanceof MetadataProblem || error instanceof DomainError;
  return `${path}: ${isMeant ? error.message : "cannot be read"}`;
}
