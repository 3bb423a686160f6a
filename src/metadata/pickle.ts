import { constants, gunzipSync, inflateSync } from "node:zlib";
import type { BlobFile } from "./blob-file.ts";
import { beginsAsPickle } from "./pickle-opcodes.ts";
import { MetadataProblem } from "./problem.ts";
import { readZipNames } from "./zip-names.ts";

const HEAD_BYTES = 512;

/**
 * Whether loading a file can run code, whatever its name: a pickle, also compressed by gzip or zlib, an array of Python
 * objects, or a zip with a pickle in it, as torch writes them. A zip that cannot be read counts as one.
 */
export async function isPickle(file: BlobFile): Promise<boolean> {
  const head = await file.read(0, HEAD_BYTES);
  if (head.toString("latin1", 0, 4) === "PK\x03\x04") return holdsPickle(file);
  return isPickleHead(head, head.length === file.size) || isPickleHead(unpacked(head), false);
}

async function holdsPickle(file: BlobFile): Promise<boolean> {
  try {
    return (await readZipNames(file)).some((name) => /\.(?:pkl|pickle)$/i.test(name));
  } catch (error) {
    // An error of the store is none of the zip.
    if (error instanceof MetadataProblem) return true;
    throw error;
  }
}

function isPickleHead(head: Buffer, whole: boolean): boolean {
  const text = head.toString("latin1");
  if (text.startsWith("\x93NUMPY")) return /'descr':\s*'\|?O/.test(text);
  return beginsAsPickle(head, whole);
}

/** The beginning of what a compressed file holds; nothing for others. */
function unpacked(head: Buffer): Buffer {
  const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 1 << 20 };
  try {
    if (head[0] === 0x1f && head[1] === 0x8b) return gunzipSync(head, options);
    if (head[0] === 0x78 && head.length > 1 && head.readUInt16BE(0) % 31 === 0) return inflateSync(head, options);
  } catch {
    // Only the first bytes looked like it.
  }
  return Buffer.alloc(0);
}
