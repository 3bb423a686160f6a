import { DomainError } from "./errors.ts";
import type { VersionFile } from "./model.ts";

const MOST_NAMED = 3;

/** BLOB_NOT_FOUND for files whose bytes the store does not have, at least one; names the first few. */
export function blobsNotFound(files: readonly Pick<VersionFile, "path" | "digest">[]): DomainError {
  const named = files.slice(0, MOST_NAMED);
  const more = files.length > named.length ? ` and ${files.length - named.length} more` : "";
  const what = named.map(({ path, digest }) => `'${path}' (${digest})`).join(", ");
  const noun = files.length === 1 ? "the file" : "the files";
  return new DomainError("BLOB_NOT_FOUND", `the store does not have the bytes of ${noun} ${what}${more}`, {
    metadata: { digest: named.map(({ digest }) => digest).join(","), count: `${files.length}` },
  });
}
