import type { VersionFile, VersionMetadata } from "../model.ts";

/** Reads what the files of a version say of themselves. */
export interface MetadataReader {
  /**
   * Reads the blobs of `files`, all in the store, in bounded memory and time. What cannot be read is told in `error`; rejects
   * with the signal's reason alone.
   */
  read(files: readonly VersionFile[], signal: AbortSignal): Promise<VersionMetadata>;
}
