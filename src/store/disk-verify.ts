import type { BigIntStats } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { type Digest, digestOfHex } from "../domain/digest.ts";
import { DomainError } from "../domain/errors.ts";
import type { BlobCheck, VerifyOptions } from "../domain/ports/blob-store.ts";
import type { FileHasher } from "../lib/hashing/file-hasher.ts";
import { isMissing, systemCode } from "../lib/system-error.ts";
import { diskError, onDisk } from "./disk-errors.ts";
import type { DiskLayout } from "./disk-layout.ts";

/** A file that one of these is said of cannot be read, while the disk as a whole can. */
const UNREADABLE: ReadonlySet<string> = new Set(["EIO", "EBADMSG", "EACCES", "EPERM", "ELOOP"]);

/** Reads a blob's file again; see `BlobStore.verify`. */
export async function verifyBlob(
  layout: DiskLayout,
  hasher: FileHasher,
  digest: Digest,
  options: VerifyOptions,
): Promise<BlobCheck> {
  const file = layout.fileOf(digest);
  const there = await onDisk(() => statOrNothing(layout, file));
  if (there === undefined) return { found: "missing" };
  if (!there.isFile()) return { found: "damaged", identity: identityOf(there) };
  try {
    await using handle = await open(file, "r");
    const identity = identityOf(await handle.stat({ bigint: true }));
    const { hex, size } = await hasher.hashOf(handle, options);
    return digestOfHex(hex) === digest ? { found: "intact", size } : { found: "damaged", identity };
  } catch (error) {
    const code = systemCode(error);
    // The signal's reason, and what the caller raised.
    if (code === undefined) throw error;
    if (code === "ENOENT") return { found: "missing" };
    if (UNREADABLE.has(code)) return { found: "damaged", identity: identityOf(there) };
    throw diskError(error);
  }
}

/** What lies under a name; undefined if nothing does, though the store is there. */
export async function statOrNothing(layout: DiskLayout, file: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(file, { bigint: true });
  } catch (error) {
    if (!isMissing(error)) throw error;
    // A disk that is not mounted leaves an empty folder behind: nothing is known of what is on it.
    if ((await readdir(layout.blobs)).length > 0) return undefined;
    throw new DomainError("STORE_UNAVAILABLE", "the store is empty: is its disk mounted?");
  }
}

/** Tells a file from any other that takes its name later, and from itself after a change. */
export function identityOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join("-");
}
