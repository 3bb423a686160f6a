import { constants } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { DomainError } from "../../domain/errors.ts";
import { type OpenedRange, type OpenRequest, SourceUnavailable } from "../../domain/ports/sources.ts";
import { type LocalFile, versionOf } from "./list-folder.ts";
import { isBelow, outside, unreadable } from "./roots.ts";

const CHUNK_BYTES = 1 << 20;

/**
 * Opens a local file at an offset, or at 0 if it is another one than the validator says. It is checked once more that it
 * lies below the root: since the listing, a folder on its way may have become a link.
 */
export async function openLocalFile(
  file: LocalFile,
  realRoot: string,
  { offset, validator, signal }: OpenRequest,
): Promise<OpenedRange> {
  signal.throwIfAborted();
  // Without O_NONBLOCK, what has become a pipe meanwhile would block for ever.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(file.realPath, flags).catch((error: unknown) => {
    throw unreadable(error, file.path);
  });
  const close = () => void handle.close().catch(() => {});
  try {
    const stats = await handle.stat({ bigint: true });
    if (!stats.isFile()) throw new DomainError("PATH_NOT_ALLOWED", `'${file.path}' is not a file any more`);
    await assertStillBelow(file, realRoot, stats);
    const current = versionOf(stats);
    const size = Number(stats.size);
    const start = offset <= size && (validator ?? current) === current ? offset : 0;
    // A body that nobody comes to read must not keep the file open.
    signal.addEventListener("abort", close, { once: true });
    return {
      offset: start,
      size,
      validator: current,
      body: read(handle, file.path, { start, size, current, signal, close }),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** What was opened must be what is found, without links, below the root: else the way to it led elsewhere. */
async function assertStillBelow(
  file: LocalFile,
  realRoot: string,
  opened: { readonly dev: bigint; readonly ino: bigint },
): Promise<void> {
  const realPath = await realpath(file.realPath).catch((error: unknown) => {
    throw unreadable(error, file.path);
  });
  if (!isBelow(realPath, realRoot)) throw outside(file.path);
  const found = await stat(realPath, { bigint: true }).catch((error: unknown) => {
    throw unreadable(error, file.path);
  });
  if (found.dev !== opened.dev || found.ino !== opened.ino) throw changed(file.path);
}

interface Reading {
  readonly start: number;
  readonly size: number;
  /** The file's version when it was opened. */
  readonly current: string;
  readonly signal: AbortSignal;
  /** What the signal calls. */
  readonly close: () => void;
}

async function* read(
  handle: FileHandle,
  path: string,
  { start, size, current, signal, close }: Reading,
): AsyncGenerator<Uint8Array> {
  try {
    for (let at = start; at < size; ) {
      signal.throwIfAborted();
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - at));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw changed(path);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    if (versionOf(await handle.stat({ bigint: true })) !== current) throw changed(path);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof DomainError ? error : unreadable(error, path);
  } finally {
    signal.removeEventListener("abort", close);
    await handle.close();
  }
}

/** Asked again, the file may be at rest. */
function changed(path: string): SourceUnavailable {
  return new SourceUnavailable(`'${path}' changed while it was read`);
}
