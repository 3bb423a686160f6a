import { type FileHandle, open } from "node:fs/promises";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";

/** Where bytes lie in a file. */
export interface Extent {
  readonly file: string;
  readonly start: number;
  readonly size: number;
}

const BLOCK = 512;
/** A bundle has a file for each blob; more entries than this are no bundle. */
const MAX_ENTRIES = 200_000;
/** The longest extended header (pax, GNU's long names) that is read. */
const MAX_EXTENSION_BYTES = 1 << 20;

/**
 * Lists the files of a tar by reading its headers alone: what lies between, which may be hundreds of gigabytes, is skipped,
 * so that blobs can be read in any order and several at once. `./` before a name does not count.
 *
 * @throws CliError for what is no tar, a tar that is cut short, links and devices, a name that leads out, a file twice.
 */
export async function indexTar(path: string): Promise<Map<string, Extent>> {
  await using handle = await open(path);
  const { size: total } = await handle.stat();
  const files = new Map<string, Extent>();
  let extension: Extension = {};
  let at = 0;
  for (let entries = 0; ; entries++) {
    const block = await readExactly(handle, path, at, BLOCK, total);
    if (block.every((byte) => byte === 0)) return files;
    if (entries === MAX_ENTRIES) throw broken(path, `must have at most ${MAX_ENTRIES} files`);
    const header = parseHeader(path, block, at);
    const start = at + BLOCK;
    const size = extension.size ?? header.size;
    if (!Number.isSafeInteger(size)) throw broken(path, "has a header without a size");
    const end = start + size;
    if (end > total) throw broken(path, "is cut short");
    at = start + Math.ceil(size / BLOCK) * BLOCK;
    if (EXTENSION_TYPES.has(header.type)) {
      if (size > MAX_EXTENSION_BYTES) throw broken(path, "has a header that is too long");
      const bytes = await readExactly(handle, path, start, size, total);
      extension = { ...extension, ...parseExtension(header.type, bytes) };
      continue;
    }
    const name = plainName(path, extension.name ?? header.name);
    extension = {};
    if (header.type === "5" || (header.type === "0" && name.endsWith("/"))) continue;
    if (header.type !== "0")
      throw broken(path, `must hold plain files and folders alone: '${name}' is a link or a device`);
    if (files.has(name)) throw broken(path, `has '${name}' twice`);
    files.set(name, { file: path, start, size });
  }
}

/** What an extended header says of the entry after it. */
interface Extension {
  readonly name?: string;
  readonly size?: number;
}

/** pax for the next entry, pax for all of them, GNU's long name and long target of a link. */
const EXTENSION_TYPES: ReadonlySet<string> = new Set(["x", "g", "L", "K"]);

function parseHeader(path: string, block: Buffer, at: number): { name: string; size: number; type: string } {
  const sum = block.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  if (number(block.subarray(148, 156)) !== sum) {
    throw broken(path, at === 0 ? "is not a tar, or a compressed one: give it uncompressed" : "is damaged");
  }
  const prefix = block.toString("latin1", 257, 263) === "ustar\0" ? text(block.subarray(345, 500)) : "";
  const name = text(block.subarray(0, 100));
  const type = String.fromCharCode(block[156] || 0x30);
  return { name: prefix === "" ? name : `${prefix}/${name}`, size: number(block.subarray(124, 136)), type };
}

function parseExtension(type: string, bytes: Buffer): Extension {
  if (type === "L") return { name: text(bytes) };
  // What holds for all entries (comments, times) and long targets of links say nothing of a bundle.
  if (type !== "x") return {};
  const extension: { name?: string; size?: number } = {};
  for (const [, key, value] of bytes.toString().matchAll(/\d+ ([^=\n]+)=(.*)\n/g)) {
    if (key === "path") extension.name = value;
    if (key === "size") extension.size = Number(value);
  }
  return extension;
}

/** Octal digits, or since these end at 8 GiB, GNU's big-endian number behind a byte of 0x80. */
function number(field: Buffer): number {
  if (field[0] === 0x80) return Number(BigInt(`0x${field.toString("hex", 1)}`));
  const digits = text(field).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? field.length : end);
}

function plainName(path: string, name: string): string {
  const plain = name.replace(/^(?:\.\/)+/, "");
  if (!plain.startsWith("/") && !plain.split("/").includes("..")) return plain;
  throw broken(path, `must have names inside of it alone: '${name}' leads out`);
}

async function readExactly(handle: FileHandle, path: string, at: number, size: number, total: number): Promise<Buffer> {
  if (at + size > total) throw broken(path, at === 0 ? "is not a tar" : "is cut short");
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(size), 0, size, at);
  if (bytesRead < size) throw broken(path, "is cut short");
  return buffer;
}

function broken(path: string, what: string): CliError {
  return new CliError(EXIT.failure, `${path}: ${what}`);
}
