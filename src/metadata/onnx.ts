import { BlobCursor } from "./blob-cursor.ts";
import type { BlobFile } from "./blob-file.ts";
import { MetadataProblem } from "./problem.ts";

/** Fields of ONNX's `ModelProto` and of its `OperatorSetIdProto`. */
const OPSET_IMPORT = 8;
const OPSET_DOMAIN = 1;
const OPSET_VERSION = 2;

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const MAX_FIELDS = 10_000;
const MAX_OPSET_BYTES = 4096;

/** The version of the default operator set of an ONNX model; undefined if it names none. The graph itself is skipped. */
export async function readOnnxOpset(file: BlobFile): Promise<number | undefined> {
  const cursor = new BlobCursor(file);
  let fields = 0;
  while (cursor.left > 0) {
    if (++fields > MAX_FIELDS) throw new MetadataProblem("has more fields than an ONNX model");
    const { field, type } = await readTag(cursor);
    if (field !== OPSET_IMPORT || type !== BYTES) {
      await skipField(cursor, type);
      continue;
    }
    const length = await readVarint(cursor);
    if (length > MAX_OPSET_BYTES) throw malformed();
    const version = await readOpset(cursor, length);
    if (version !== undefined) return version;
  }
  if (fields === 0) throw malformed();
  return undefined;
}

/** Undefined for an operator set of another domain. */
async function readOpset(cursor: BlobCursor, length: number): Promise<number | undefined> {
  const end = cursor.position + length;
  let domain = "";
  let version: number | undefined;
  while (cursor.position < end) {
    const { field, type } = await readTag(cursor);
    if (field === OPSET_DOMAIN && type === BYTES) {
      const size = await readVarint(cursor);
      if (size > length) throw malformed();
      domain = (await cursor.bytes(size)).toString("utf8");
    } else if (field === OPSET_VERSION && type === VARINT) {
      version = await readVarint(cursor);
    } else {
      await skipField(cursor, type);
    }
  }
  const isDefault = domain === "" || domain === "ai.onnx";
  return isDefault && version !== undefined && version < 2 ** 31 ? version : undefined;
}

async function readTag(cursor: BlobCursor): Promise<{ field: number; type: number }> {
  const tag = await readVarint(cursor);
  const field = Math.floor(tag / 8);
  if (field < 1 || field >= 2 ** 29) throw malformed();
  return { field, type: tag % 8 };
}

async function skipField(cursor: BlobCursor, type: number): Promise<void> {
  if (type === VARINT) await readVarint(cursor);
  else if (type === FIXED64) cursor.skip(8);
  else if (type === FIXED32) cursor.skip(4);
  else if (type === BYTES) cursor.skip(await readVarint(cursor));
  else throw malformed();
}

async function readVarint(cursor: BlobCursor): Promise<number> {
  let value = 0;
  for (let shift = 0; shift < 70; shift += 7) {
    const byte = await cursor.u8();
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return value;
  }
  throw malformed();
}

const malformed = (): MetadataProblem => new MetadataProblem("is no ONNX model");
