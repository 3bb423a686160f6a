import { createReadStream, createWriteStream } from "node:fs";
import { lstat, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { digestOfHex } from "../../domain/digest.ts";
import { mapConcurrently } from "../../lib/map-concurrently.ts";
import { isMissing } from "../../lib/system-error.ts";
import type { BlobTransfer } from "../blob-transfer.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";
import type { TransferProgress } from "../transfer-progress.ts";
import { type BlobStart, fetchBlob, fromNothing } from "./fetch-blob.ts";
import {
  ANNOTATION,
  blobFile,
  type Descriptor,
  INDEX_FILE,
  indexShape,
  LAYOUT,
  LAYOUT_FILE,
  MEDIA_TYPE,
  parseDocument,
} from "./oci.ts";
import type { ExportedBlob, ExportPlan } from "./plan-export.ts";

/** How many blobs are fetched at once. */
const CONCURRENCY = 4;

/**
 * Writes a bundle into a folder, new or one that holds a bundle already: what is there, whole or in part, is checked and
 * not fetched again, and its other versions stay. `index.json` comes last, so that it never names what is not there.
 *
 * @returns how many bytes were fetched.
 * @throws CliError for a folder that holds something else, or blobs that are not what they should be; ConnectError
 */
export async function writeFolder(
  folder: string,
  plan: ExportPlan,
  transfer: BlobTransfer,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<number> {
  const former = await openFolder(folder);
  for (const { digest, bytes } of plan.documents) await replaceFile(join(folder, blobFile(digest)), bytes);
  const fetched = await mapConcurrently(plan.blobs, CONCURRENCY, signal, async (blob, _index, either) => {
    const bytes = await writeBlob(join(folder, blobFile(blob.digest)), blob, transfer, progress, either);
    progress.done(blob.path);
    return bytes;
  });
  const names = new Set(plan.entries.map(refNameOf));
  const manifests = [...former.filter((entry) => !names.has(refNameOf(entry))), ...plan.entries];
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests };
  await replaceFile(join(folder, INDEX_FILE), Buffer.from(JSON.stringify(index)));
  return fetched.reduce((sum, bytes) => sum + bytes, 0);
}

function refNameOf({ annotations }: Descriptor): string | undefined {
  return annotations?.[ANNOTATION.refName];
}

/** Makes the folder a layout unless it is one; answers what its index names. */
async function openFolder(folder: string): Promise<Descriptor[]> {
  await mkdir(folder, { recursive: true });
  const names = await readdir(folder);
  if (names.length > 0 && !names.includes(LAYOUT_FILE)) {
    throw new CliError(EXIT.usage, `${folder}: must be empty, or hold a bundle`, { hint: "choose another folder" });
  }
  await replaceFile(join(folder, LAYOUT_FILE), LAYOUT);
  if (!names.includes(INDEX_FILE)) return [];
  const bytes = await readFile(join(folder, INDEX_FILE));
  return parseDocument(indexShape, `${folder}/${INDEX_FILE}`, bytes).manifests;
}

/** A small file appears with all of its bytes. */
async function replaceFile(path: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.partial`, bytes, { flush: true });
  await rename(`${path}.partial`, path);
}

/** Fetches what is missing of a blob; answers how many bytes that was. */
async function writeBlob(
  path: string,
  blob: ExportedBlob,
  transfer: BlobTransfer,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<number> {
  const there = await hashFile(path, blob.size, signal);
  if (there?.bytes === blob.size && digestOfHex(there.hash.digest("hex")) === blob.digest) return 0;
  await rm(path, { force: true });
  const partial = `${path}.partial`;
  const start = (await hashFile(partial, blob.size, signal)) ?? fromNothing();
  progress.at(blob.path, start.bytes);
  const onProgress = (bytes: number) => progress.at(blob.path, bytes);
  try {
    const file = createWriteStream(partial, { flags: start.bytes > 0 ? "r+" : "w", start: start.bytes, flush: true });
    await pipeline(Readable.from(fetchBlob(transfer, blob, start, signal, onProgress)), file);
  } catch (error) {
    // Wrong bytes are of no use to the next attempt; the beginning of right ones is.
    if (error instanceof CliError) await rm(partial, { force: true });
    throw error;
  }
  await rename(partial, path);
  return blob.size - start.bytes;
}

/** Hashes a file of at most `size` bytes; undefined if there is none. */
async function hashFile(path: string, size: number, signal: AbortSignal): Promise<BlobStart | undefined> {
  try {
    const stat = await lstat(path);
    if (!stat.isFile() || stat.size > size) return undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  const start = fromNothing();
  let bytes = 0;
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    start.hash.update(chunk);
    bytes += chunk.length;
  }
  return { ...start, bytes };
}
