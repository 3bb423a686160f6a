import type { BlobFile } from "./blob-file.ts";
import { MetadataProblem } from "./problem.ts";

const END = 0x06054b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const LOCATOR = 0x07064b50;
const LOCATOR_BYTES = 20;
const END64 = 0x06064b50;
const END64_BYTES = 56;
const ENTRY = 0x02014b50;
const ENTRY_BYTES = 46;

const MAX_DIRECTORY_BYTES = 8 << 20;

/** The names of all files in a zip, from the directory at its end, which is what readers go by. */
export async function readZipNames(file: BlobFile): Promise<string[]> {
  const directory = await readDirectory(file);
  const names: string[] = [];
  for (let at = 0; at + ENTRY_BYTES <= directory.length && directory.readUInt32LE(at) === ENTRY; ) {
    const length = directory.readUInt16LE(at + 28);
    names.push(directory.toString("utf8", at + ENTRY_BYTES, at + ENTRY_BYTES + length));
    at += ENTRY_BYTES + length + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return names;
}

async function readDirectory(file: BlobFile): Promise<Buffer> {
  const tailStart = Math.max(0, file.size - END_BYTES - MAX_COMMENT_BYTES - LOCATOR_BYTES);
  const tail = await file.read(tailStart, file.size);
  const end = lastEnd(tail);
  let size = tail.readUInt32LE(end + 12);
  let start = tail.readUInt32LE(end + 16);
  const locator = end - LOCATOR_BYTES;
  if (locator >= 0 && tail.readUInt32LE(locator) === LOCATOR) {
    const at = Number(tail.readBigUInt64LE(locator + 8));
    const end64 = await file.read(at, at + END64_BYTES);
    if (end64.length < END64_BYTES || end64.readUInt32LE(0) !== END64) throw malformed();
    size = Number(end64.readBigUInt64LE(40));
    start = Number(end64.readBigUInt64LE(48));
  }
  if (size > MAX_DIRECTORY_BYTES) throw new MetadataProblem("is a zip with a directory too large to be read");
  if (start + size > file.size) throw malformed();
  return file.read(start, start + size);
}

function lastEnd(tail: Buffer): number {
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) === END) return at;
  }
  throw malformed();
}

const malformed = (): MetadataProblem => new MetadataProblem("is a zip that cannot be read");
