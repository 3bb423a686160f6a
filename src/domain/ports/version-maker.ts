import type { NewVersion, Version, VersionFile } from "../model.ts";

/** A version that a caller asks for: what its blobs are is the store's to say. */
export type WantedVersion = Pick<NewVersion, "resolvedRevision" | "license" | "labels"> & {
  readonly files: readonly Pick<VersionFile, "path" | "digest">[];
};

/** A message of an import: it begins a file, or carries the next bytes of the file that was begun last. */
export type ImportPart =
  | { readonly kind: "header"; readonly modelId: string; readonly file: VersionFile }
  | { readonly kind: "chunk"; readonly bytes: Uint8Array };

/** Makes versions of files that their owner brought. */
export interface VersionMaker {
  /**
   * Makes a version of blobs that are in the store, with what they say of themselves, or finds the one of the same files.
   *
   * @throws DomainError FIELD_INVALID for paths that cannot lie in one folder together; BLOB_NOT_FOUND; MODEL_NOT_FOUND.
   */
  create(modelId: string, version: WantedVersion, signal: AbortSignal): Promise<Version>;
  /**
   * Takes in the files of one version, and makes it when the parts end. Of a file that the store has already the bytes may be
   * left out. If the parts fail, or one of them, no version is made.
   *
   * @throws DomainError the same; FIELD_INVALID for parts in a wrong order, of another model, or of a wrong size;
   * CONTENT_MISMATCH; OPERATION_CONFLICT while another client sends the same bytes; DISK_FULL; QUOTA_EXCEEDED.
   */
  import(parts: AsyncIterable<ImportPart>, signal: AbortSignal): Promise<Version>;
}
