import { once } from "node:events";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { type Extract, extract, type Header } from "tar-stream";
import { systemCode } from "../../lib/system-error.ts";
import { ArchiveBroken, ArchiveGuard } from "./archive-guard.ts";
import type { ArchiveEntry, UnpackData } from "./unpack-messages.ts";

/** An entry whose content can be read until the next one is asked for. */
export interface OpenEntry {
  readonly entry: ArchiveEntry;
  readonly content: AsyncIterable<Buffer>;
}

const READ_BYTES = 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;

/**
 * The entries of an archive, those of folders and links too. Memory is bounded whatever the archive holds.
 *
 * @throws ArchiveBroken if it is cut off, is none, or grows beyond all measure; the system's error if it cannot be read.
 */
export async function* readArchive(data: UnpackData): AsyncGenerator<OpenEntry> {
  const guard = new ArchiveGuard(data.size);
  const entries = extract();
  const stop = new AbortController();
  const fed = feed(entries, guard, openArchive(data), stop.signal);
  try {
    for await (const stream of entries) {
      guard.entries += 1;
      yield { entry: entryOf(stream.header), content: counted(stream as AsyncIterable<Buffer>, guard) };
      // What nobody wanted is passed over.
      stream.resume();
    }
  } catch (error) {
    throw archiveError(guard.failure ?? error);
  } finally {
    stop.abort();
    entries.destroy();
    await fed;
  }
}

/** The bytes of an archive as they were before it was compressed. */
function openArchive({ path, format }: UnpackData): AsyncIterable<Buffer> {
  const file = createReadStream(path, { highWaterMark: READ_BYTES });
  if (format === "tar") return file;
  const options = { chunkSize: CHUNK_BYTES };
  const decoder = format === "tar+gzip" ? createGunzip(options) : createZstdDecompress(options);
  // Whoever reads hears of an error.
  return pipeline(file, decoder, () => {});
}

/** Gives bytes to the parser as it takes them; a failure ends it. */
async function feed(
  entries: Extract,
  guard: ArchiveGuard,
  bytes: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const chunk of guard.pass(bytes)) {
      if (!entries.write(chunk)) await once(entries as unknown as NodeJS.EventEmitter, "drain", { signal });
    }
    entries.end(undefined);
  } catch (error) {
    guard.failure = error;
    entries.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

async function* counted(content: AsyncIterable<Buffer>, guard: ArchiveGuard): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of content) {
      guard.delivered += chunk.length;
      yield chunk;
    }
  } catch (error) {
    throw archiveError(guard.failure ?? error);
  }
}

/** The library's types do not know what they have no name for. */
function entryOf({ name, size, type, pax }: Header & { type: string | null }): ArchiveEntry {
  const isSparse = Object.keys(pax ?? {}).some((key) => key.startsWith("GNU.sparse."));
  return { name, size, type: isSparse ? "sparse" : (type ?? "unknown") };
}

/** What a failure of reading means: those of unpackers have codes of their own, those of the parser none. */
function archiveError(error: unknown): unknown {
  const code = systemCode(error);
  if (error instanceof ArchiveBroken || !(error instanceof Error)) return error;
  const isUnpacker = code !== undefined && /^(?:Z_|ZSTD_|ERR_ZLIB_|ERR_ZSTD)/.test(code);
  if (!isUnpacker && (code !== undefined || error.constructor !== Error)) return error;
  return new ArchiveBroken("must be whole, and an archive of the kind that it is said to be", { cause: error });
}
