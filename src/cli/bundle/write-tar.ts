import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";
import type { BlobTransfer } from "../blob-transfer.ts";
import type { TransferProgress } from "../transfer-progress.ts";
import { fetchBlob, fromNothing } from "./fetch-blob.ts";
import { blobFile, INDEX_FILE, LAYOUT, LAYOUT_FILE, MEDIA_TYPE } from "./oci.ts";
import type { ExportPlan } from "./plan-export.ts";

/** The same in every archive, so that the same versions make the same bytes. */
const MTIME = new Date(0);

/**
 * Writes a bundle as a tar: the index and the manifests first, then the blobs one after the other. It appears under its
 * name when all of it is there.
 *
 * @returns how many bytes were fetched.
 * @throws CliError for blobs that are not what they should be; ConnectError
 */
export async function writeTar(
  path: string,
  plan: ExportPlan,
  transfer: BlobTransfer,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<number> {
  const partial = `${path}.partial`;
  const archive = pack();
  const disk = new AbortController();
  const written = pipeline(archive, createWriteStream(partial, { flush: true }));
  archive.on("error", isHeardElsewhere);
  // A full disk ends whatever waits for room in the archive.
  written.catch((error: unknown) => disk.abort(error));
  try {
    await addAll(archive, plan, transfer, progress, AbortSignal.any([signal, disk.signal]));
    archive.finalize();
    await written;
    await rename(partial, path);
  } catch (error) {
    const cause: unknown = disk.signal.aborted && !signal.aborted ? disk.signal.reason : error;
    archive.destroy();
    await written.catch(() => {});
    await rm(partial, { force: true });
    throw cause;
  }
  return plan.blobs.reduce((sum, { size }) => sum + size, 0);
}

async function addAll(
  archive: Pack,
  plan: ExportPlan,
  transfer: BlobTransfer,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<void> {
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests: plan.entries }));
  archive.entry({ name: LAYOUT_FILE, mtime: MTIME }, LAYOUT);
  archive.entry({ name: INDEX_FILE, mtime: MTIME }, index);
  for (const name of ["blobs/", "blobs/sha256/"]) archive.entry({ name, type: "directory", mtime: MTIME });
  for (const { digest, bytes } of plan.documents) archive.entry({ name: blobFile(digest), mtime: MTIME }, bytes);
  for (const blob of plan.blobs) {
    const entry = archive.entry({ name: blobFile(blob.digest), size: blob.size, mtime: MTIME });
    entry.on("error", isHeardElsewhere);
    const onProgress = (bytes: number) => progress.at(blob.path, bytes);
    for await (const chunk of fetchBlob(transfer, blob, fromNothing(), signal, onProgress)) {
      if (!entry.write(chunk)) await once(entry, "drain", { signal });
    }
    const finished = once(entry, "finish", { signal });
    entry.end(null);
    await finished;
    progress.done(blob.path);
  }
}

/** The archive and its entries repeat what ended them; without a listener that would end the program. */
function isHeardElsewhere(): void {}
