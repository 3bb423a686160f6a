import { constants } from "node:fs";
import { access, mkdir, open, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { Digest } from "../domain/digest.ts";
import { DomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { BlobStore, ByteRange, Space } from "../domain/ports/blob-store.ts";
import { FileHasher } from "../lib/hashing/file-hasher.ts";
import { FOLDER_MODE, makeFolder } from "../lib/make-folder.ts";
import { isMissing, systemCode } from "../lib/system-error.ts";
import { onDisk } from "./disk-errors.ts";
import { type DiskLayout, diskLayout } from "./disk-layout.ts";
import { emptyQuarantine, putAside, quarantineBlob } from "./disk-quarantine.ts";
import { verifyBlob } from "./disk-verify.ts";
import { syncFolder } from "./sync-folder.ts";

/** What a store on a disk needs. */
export interface DiskStoreOptions {
  /** Made, with its folders, if it does not exist. Replicas that share a database must share it too. */
  readonly directory: string;
  readonly log: Logger;
}

const READ_BUFFER_BYTES = 1024 * 1024;
/** A network file system whose server went away does not answer at all. */
const CHECK_TIMEOUT_MS = 5_000;

/**
 * Opens the store in a folder: `blobs/sha256/ab/<hex>` are verified bytes, `parts/` is where they grow, `quarantine/` what
 * turned out not to be the blob that it was named after. A blob appears by a rename inside one file system, so its folders
 * must not be mount points of their own.
 *
 * @throws DomainError STORE_UNAVAILABLE or DISK_FULL if the folders can be neither found nor made.
 */
export async function createDiskStore({ directory, log }: DiskStoreOptions): Promise<BlobStore> {
  const layout = diskLayout(resolve(directory));
  await onDisk(async () => {
    await mkdir(layout.blobs, { recursive: true, mode: FOLDER_MODE });
    await mkdir(layout.parts, { recursive: true, mode: FOLDER_MODE });
    for (const folder of [dirname(layout.blobs), dirname(layout.parts)]) await syncFolder(folder);
  });
  const hasher = new FileHasher();
  log.debug("disk store is open", { directory: layout.blobs });
  return {
    spoolDirectory: layout.parts,
    stat: (digest) => onDisk(() => statBlob(layout, digest)),
    commit: (digest, path) => onDisk(() => commitBlob(layout, digest, path)),
    read: (digest, range) => onDisk(() => readBlob(layout, digest, range)),
    remove: (digest) => onDisk(() => removeBlob(layout, digest)),
    verify: (digest, options) => verifyBlob(layout, hasher, digest, options),
    quarantine: (digest, check) => onDisk(() => quarantineBlob(layout, digest, check)),
    emptyQuarantine: (ageMs, dryRun) => onDisk(() => emptyQuarantine(layout, ageMs, dryRun)),
    space: () => onDisk(() => spaceOf(layout)),
    spoolSpace: () => onDisk(() => spaceOf(layout)),
    check: () => onDisk(() => checkFolders(layout)),
  };
}

async function statBlob(layout: DiskLayout, digest: Digest): Promise<{ size: number } | undefined> {
  const found = await ifThere(layout, () => stat(layout.fileOf(digest)));
  return found?.isFile() ? { size: found.size } : undefined;
}

async function commitBlob(layout: DiskLayout, digest: Digest, path: string): Promise<void> {
  const folder = layout.folderOf(digest);
  // Not with those above it: had they gone, the disk would not be ours.
  await makeFolder(folder);
  const place = () => rename(path, layout.fileOf(digest));
  try {
    await place().catch(async (error: unknown) => {
      if (systemCode(error) !== "EISDIR") throw error;
      await putAside(layout, digest);
      await place();
    });
  } catch (error) {
    const committedBefore = isMissing(error) && (await statBlob(layout, digest)) !== undefined;
    if (!committedBefore) throw error;
  }
  // Both, whoever made the folder: they may have died, or be about to do the same.
  await Promise.all([syncFolder(folder), syncFolder(layout.blobs)]);
}

async function readBlob(layout: DiskLayout, digest: Digest, range?: ByteRange): Promise<Readable> {
  const handle = await ifThere(layout, () => open(layout.fileOf(digest), "r"));
  if (handle === undefined || !(await handle.stat()).isFile()) {
    await handle?.close();
    throw new DomainError("BLOB_NOT_FOUND", `blob not found: ${digest}`);
  }
  if (range !== undefined && range.end <= range.start) {
    await handle.close();
    return Readable.from([]);
  }
  // The end of a read stream is inclusive.
  const bounds = range && { start: range.start, end: range.end - 1 };
  return handle.createReadStream({ ...bounds, highWaterMark: READ_BUFFER_BYTES });
}

async function removeBlob(layout: DiskLayout, digest: Digest): Promise<void> {
  await rm(layout.fileOf(digest), { force: true, recursive: true });
}

async function spaceOf(layout: DiskLayout): Promise<Space> {
  const { bsize, blocks, bavail } = await statfs(layout.blobs);
  return { capacityBytes: blocks * bsize, freeBytes: bavail * bsize };
}

async function checkFolders(layout: DiskLayout): Promise<void> {
  const timeout = new AbortController();
  const late = delay(CHECK_TIMEOUT_MS, undefined, { signal: timeout.signal, ref: false }).then(() => {
    throw new DomainError("STORE_UNAVAILABLE", "the store's disk does not answer");
  });
  try {
    const writable = [layout.blobs, layout.parts].map((folder) => access(folder, constants.W_OK | constants.X_OK));
    await Promise.race([Promise.all(writable), late]);
  } finally {
    late.catch(() => {});
    timeout.abort();
  }
}

/** Runs a look-up of one blob; undefined if only the blob is missing, an error if the whole store is. */
async function ifThere<Result>(layout: DiskLayout, lookUp: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await lookUp();
  } catch (error) {
    if (!isMissing(error)) throw error;
    await access(layout.blobs);
    return undefined;
  }
}
