import { createHash } from "node:crypto";
import { hexOfDigest } from "../../../domain/digest.ts";
import type { SourceFile } from "../../../domain/ports/sources.ts";

/** What a file's bytes are called before they are here: by their digest, or else by where they come from. Fit for a file name. */
export function contentKey(file: SourceFile): string {
  if (file.digest !== undefined) return `sha256-${hexOfDigest(file.digest)}`;
  return `id-${createHash("sha256").update(file.identity).digest("hex")}`;
}

/** Whether the finished bytes can be checked, so that it does not matter whom they came from. */
export function isChecked(file: SourceFile): boolean {
  return file.digest !== undefined || file.gitBlobSha1 !== undefined;
}
