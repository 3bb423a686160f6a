import { createReadStream } from "node:fs";
import { lstat, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Digest } from "../../domain/digest.ts";
import { isMissing, systemCode } from "../../lib/system-error.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";
import { blobFile, digestOf, INDEX_FILE, MAX_DOCUMENT_BYTES } from "./oci.ts";
import { type Extent, indexTar } from "./tar-index.ts";

/** The files of a bundle, be it a folder or a tar. */
export interface BundleFiles {
  /** The size of a blob in bytes; undefined if it is not there. */
  sizeOf(digest: Digest): Promise<number | undefined>;
  /** The bytes of a blob from `start` on; the stream fails with a CliError. */
  open(digest: Digest, start: number): Readable;
  /**
   * A small file.
   *
   * @throws CliError if it is missing or larger than 16 MiB.
   */
  read(name: string): Promise<Buffer>;
  /**
   * A small blob.
   *
   * @throws CliError if it is missing, too large or not what its digest says.
   */
  readBlob(digest: Digest): Promise<Buffer>;
}

/**
 * Opens a bundle.
 *
 * @throws CliError usage, if there is no such path; for a tar see {@link indexTar}.
 */
export async function openBundleFiles(path: string): Promise<BundleFiles> {
  const find = (await isFolder(path)) ? inFolder(path) : inTar(await indexTar(path));
  const required = async (name: string): Promise<Extent> => {
    const extent = await find(name);
    if (extent !== undefined) return extent;
    const what = name === INDEX_FILE ? "is not a bundle" : "is not all of a bundle";
    throw new CliError(EXIT.failure, `${path}: ${what}: '${name}' is missing`);
  };
  async function read(name: string): Promise<Buffer> {
    const { file, start, size } = await required(name);
    if (size > MAX_DOCUMENT_BYTES) {
      throw new CliError(
        EXIT.failure,
        `${path}: '${name}' must be of at most ${MAX_DOCUMENT_BYTES} bytes, and has ${size}`,
      );
    }
    await using handle = await open(file);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size), 0, size, start);
    return buffer.subarray(0, bytesRead);
  }
  return {
    sizeOf: async (digest) => (await find(blobFile(digest)))?.size,
    read,
    async readBlob(digest) {
      const bytes = await read(blobFile(digest));
      if (digestOf(bytes) !== digest)
        throw new CliError(EXIT.failure, `${path}: the bytes of ${digest} are not those of its digest`);
      return bytes;
    },
    open: (digest, start) =>
      Readable.from(
        bytesOf(() => required(blobFile(digest)), start),
        { objectMode: false, highWaterMark: 1 << 18 },
      ),
  };
}

async function* bytesOf(find: () => Promise<Extent>, skip: number): AsyncGenerator<Buffer, void> {
  const { file, start, size } = await find();
  if (skip >= size) return;
  try {
    yield* createReadStream(file, { start: start + skip, end: start + size - 1, highWaterMark: 1 << 18 });
  } catch (error) {
    throw new CliError(EXIT.failure, `${file}: cannot be read (${systemCode(error) ?? error})`);
  }
}

function inTar(files: ReadonlyMap<string, Extent>): (name: string) => Promise<Extent | undefined> {
  return async (name) => files.get(name);
}

function inFolder(folder: string): (name: string) => Promise<Extent | undefined> {
  return async (name) => {
    const file = join(folder, name);
    try {
      const found = await lstat(file);
      if (found.isFile()) return { file, start: 0, size: found.size };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    throw new CliError(
      EXIT.failure,
      `${folder}: must hold plain files and folders alone: '${name}' is a link or a device`,
    );
  };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isMissing(error)) throw new CliError(EXIT.usage, `${path}: there is no such file or folder`);
    throw error;
  }
}
