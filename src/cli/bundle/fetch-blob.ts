import { createHash, type Hash } from "node:crypto";
import { digestOfHex } from "../../domain/digest.ts";
import type { BlobTransfer } from "../blob-transfer.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";
import type { ExportedBlob } from "./plan-export.ts";

/** What is there of a blob already: how many bytes, and their hash so far. */
export interface BlobStart {
  readonly bytes: number;
  readonly hash: Hash;
}

/** The beginning of a blob of which nothing is there. */
export function fromNothing(): BlobStart {
  return { bytes: 0, hash: createHash("sha256") };
}

/**
 * The bytes of a blob behind its beginning, hashed on the way; `onProgress` hears how many there are.
 *
 * @throws CliError after the last byte, if all of them together are not those of the digest; ConnectError
 */
export async function* fetchBlob(
  transfer: BlobTransfer,
  { digest, size, path }: ExportedBlob,
  { bytes, hash }: BlobStart,
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): AsyncGenerator<Buffer, void> {
  let at = bytes;
  for await (const chunk of transfer.read(digest, size, at, signal)) {
    hash.update(chunk);
    at += chunk.length;
    yield chunk;
    onProgress(at);
  }
  if (digestOfHex(hash.digest("hex")) === digest) return;
  throw new CliError(EXIT.failure, `${path}: what came is not ${digest}`, { hint: "export again: it is fetched anew" });
}
