import { lstat, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, hexOfDigest } from "../domain/digest.ts";
import type { BlobCheck } from "../domain/ports/blob-store.ts";
import { makeFolder } from "../lib/make-folder.ts";
import { isMissing } from "../lib/system-error.ts";
import type { DiskLayout } from "./disk-layout.ts";
import { identityOf, statOrNothing } from "./disk-verify.ts";

/** Puts a blob's file aside; see `BlobStore.quarantine`. */
export async function quarantineBlob(layout: DiskLayout, digest: Digest, check: BlobCheck): Promise<boolean> {
  if (check.found === "intact") return false;
  const now = await statOrNothing(layout, layout.fileOf(digest));
  // Whatever somebody took away meanwhile is as gone as what was missing.
  if (now === undefined) return true;
  if (check.found === "missing" || identityOf(now) !== check.identity) return false;
  await putAside(layout, digest);
  return true;
}

/** Moves whatever lies under a blob's name into the quarantine, under a name that tells its digest and the time. */
export async function putAside(layout: DiskLayout, digest: Digest): Promise<void> {
  await makeFolder(layout.quarantine);
  await rename(layout.fileOf(digest), join(layout.quarantine, `${hexOfDigest(digest)}.${Date.now()}`));
}

/** Takes away what was put aside long enough ago; see `BlobStore.emptyQuarantine`. */
export async function emptyQuarantine(layout: DiskLayout, ageMs: number, dryRun: boolean): Promise<number> {
  let bytes = 0;
  for (const name of (await unlessMissing(() => readdir(layout.quarantine))) ?? []) {
    const since = Number(/\.(\d+)$/.exec(name)?.[1]);
    if (!(Date.now() - since >= ageMs)) continue;
    const path = join(layout.quarantine, name);
    // Somebody else may be emptying it too.
    bytes += (await unlessMissing(() => lstat(path)))?.size ?? 0;
    if (!dryRun) await rm(path, { recursive: true, force: true });
  }
  return bytes;
}

async function unlessMissing<Result>(lookUp: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await lookUp();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
