import type { BlobCursor } from "./blob-cursor.ts";
import { MetadataProblem } from "./problem.ts";

/** A value of a header as far as it is kept: long texts and most arrays only as `true`. */
export type GgufValue = number | string | boolean | readonly number[];

const KEPT_TEXT_BYTES = 1024;
/** More layers than any model has. */
const KEPT_NUMBERS = 1024;
const MAX_DEPTH = 4;

const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

/** Bytes of the types of fixed size, and how the numbers among them are read. */
const FIXED: Readonly<
  Record<number, readonly [bytes: number, read: (bytes: Buffer, littleEndian: boolean) => number]>
> = {
  0: [1, (bytes) => bytes.readUInt8()],
  1: [1, (bytes) => bytes.readInt8()],
  2: [2, (bytes, little) => (little ? bytes.readUInt16LE() : bytes.readUInt16BE())],
  3: [2, (bytes, little) => (little ? bytes.readInt16LE() : bytes.readInt16BE())],
  4: [4, (bytes, little) => (little ? bytes.readUInt32LE() : bytes.readUInt32BE())],
  5: [4, (bytes, little) => (little ? bytes.readInt32LE() : bytes.readInt32BE())],
  6: [4, (bytes, little) => (little ? bytes.readFloatLE() : bytes.readFloatBE())],
  [BOOL]: [1, (bytes) => bytes.readUInt8()],
  10: [8, (bytes, little) => Number(little ? bytes.readBigUInt64LE() : bytes.readBigUInt64BE())],
  11: [8, (bytes, little) => Number(little ? bytes.readBigInt64LE() : bytes.readBigInt64BE())],
  12: [8, (bytes, little) => (little ? bytes.readDoubleLE() : bytes.readDoubleBE())],
};

/** Reads a value, or skips it where it is too long to be of use. */
export async function readGgufValue(cursor: BlobCursor, type: number): Promise<GgufValue> {
  if (type === STRING) return readText(cursor);
  if (type === ARRAY) return readArray(cursor);
  const value = await readNumber(cursor, type);
  return type === BOOL ? value !== 0 : value;
}

/** Passes over a text. */
export async function skipGgufString(cursor: BlobCursor): Promise<void> {
  if (!cursor.has(8)) await cursor.need(8);
  cursor.skip(cursor.takeU64());
}

async function readText(cursor: BlobCursor): Promise<string | true> {
  const length = await cursor.u64();
  if (length <= KEPT_TEXT_BYTES) return (await cursor.bytes(length)).toString("utf8");
  cursor.skip(length);
  return true;
}

async function readNumber(cursor: BlobCursor, type: number): Promise<number> {
  const [bytes, read] = fixed(type);
  return read(await cursor.bytes(bytes), cursor.littleEndian);
}

async function readArray(cursor: BlobCursor): Promise<GgufValue> {
  const type = await cursor.u32();
  const count = await cursor.u64();
  if (type === STRING || type === ARRAY || count > KEPT_NUMBERS) {
    await skipItems(cursor, type, count, 1);
    return true;
  }
  const numbers: number[] = [];
  for (let index = 0; index < count; index++) numbers.push(await readNumber(cursor, type));
  return numbers;
}

async function skipItems(cursor: BlobCursor, type: number, count: number, depth: number): Promise<void> {
  if (type === STRING) {
    assertFits(cursor, count, 8);
    for (let index = 0; index < count; index++) await skipGgufString(cursor);
  } else if (type === ARRAY) {
    if (depth >= MAX_DEPTH) throw new MetadataProblem("has a header with arrays nested too deep");
    assertFits(cursor, count, 12);
    for (let index = 0; index < count; index++) {
      await skipItems(cursor, await cursor.u32(), await cursor.u64(), depth + 1);
    }
  } else {
    const [bytes] = fixed(type);
    assertFits(cursor, count, bytes);
    cursor.skip(count * bytes);
  }
}

/** An array of more items than there are bytes for is a lie; without this it would be walked to the end. */
function assertFits(cursor: BlobCursor, count: number, bytesEach: number): void {
  if (count > cursor.left / bytesEach) throw new MetadataProblem("has a header with an array longer than the file");
}

function fixed(type: number) {
  const found = FIXED[type];
  if (found === undefined) throw new MetadataProblem("has a header with a type of value that is not known");
  return found;
}
