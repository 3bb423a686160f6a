import { BlobCursor } from "./blob-cursor.ts";
import type { BlobFile } from "./blob-file.ts";
import { cacheBytesPerToken, type Facts, keptText, latentCacheBytesPerToken } from "./facts.ts";
import { type GgufValue, readGgufValue, skipGgufString } from "./gguf-values.ts";
import { MetadataProblem } from "./problem.ts";

const MAGIC = "GGUF";
const MAX_KEY_VALUES = 100_000;
const MAX_KEY_BYTES = 65_535;
const MAX_TENSORS = 200_000;
const MAX_DIMENSIONS = 8;
/** No tensor of a file can hold more parameters than this for each of its bytes. */
const PARAMETERS_PER_BYTE = 8;

/** What the header of a GGUF file says. */
export interface GgufHeader {
  /** Scalars, short texts and numbers of layers, by their keys; of longer ones that they are there (`true`). */
  readonly values: ReadonlyMap<string, GgufValue>;
  /** Of this file alone. */
  readonly parameterCount: number;
  /** How many parameters come in which type of tensor. */
  readonly tensorTypes: ReadonlyMap<number, number>;
  readonly tensorBytes: number;
}

/**
 * Reads the header of a GGUF file.
 *
 * The package that reads GGUF keeps all of a vocabulary as values, takes a file that ends early for one of zeros, and does
 * it all in one go; here what nobody asks for is skipped, so that memory and time are those of a walk over the bytes.
 */
export async function readGguf(file: BlobFile): Promise<GgufHeader> {
  const cursor = new BlobCursor(file);
  const counts = await begin(cursor);
  const values = new Map<string, GgufValue>();
  for (let index = 0; index < counts.keyValues; index++) {
    const key = await readKey(cursor);
    if (values.has(key)) throw new MetadataProblem("has a header that names a key twice");
    values.set(key, await readGgufValue(cursor, await cursor.u32()));
  }
  const tensorTypes = new Map<number, number>();
  let parameterCount = 0;
  for (let index = 0; index < counts.tensors; index++) {
    await skipGgufString(cursor);
    const elements = await readElements(cursor);
    const type = await cursor.u32();
    cursor.skip(8);
    parameterCount += elements;
    tensorTypes.set(type, (tensorTypes.get(type) ?? 0) + elements);
  }
  if (parameterCount > file.size * PARAMETERS_PER_BYTE) {
    throw new MetadataProblem("has a header that describes more parameters than the file can hold");
  }
  return { values, parameterCount, tensorTypes, tensorBytes: cursor.left };
}

/** Reads no further than to the file's type, which comes before what is long; undefined if it does not. */
export async function readGgufFileType(file: BlobFile): Promise<number | undefined> {
  const cursor = new BlobCursor(file);
  const { keyValues } = await begin(cursor);
  for (let index = 0; index < keyValues; index++) {
    const key = await readKey(cursor);
    if (key.startsWith("tokenizer.")) return undefined;
    const value = await readGgufValue(cursor, await cursor.u32());
    if (key === "general.file_type") return numberOf(value);
  }
  return undefined;
}

/** What a header says in the words of all formats; `typeNames` are those of GGUF's file types. */
export function ggufFacts(header: GgufHeader, typeName: string | undefined): Facts {
  const { values } = header;
  const text = (key: string) => {
    const value = values.get(key);
    return typeof value === "string" ? keptText(value) : undefined;
  };
  const architecture = text("general.architecture");
  const number = (key: string) => numberOf(values.get(`${architecture}.${key}`));
  const heads = number("attention.head_count");
  const embedding = number("embedding_length");
  const layers = number("block_count");
  const headSize = heads && embedding ? Math.floor(embedding / heads) : undefined;
  const keySize = number("attention.key_length") ?? headSize;
  const valueSize = number("attention.value_length") ?? headSize;
  const latent = number("attention.kv_lora_rank");
  const kvHeads = values.get(`${architecture}.attention.head_count_kv`) ?? heads;
  // Some models have another number of heads in each layer: then these are added up instead.
  const [headLayers, kvCount] = Array.isArray(kvHeads) ? [1, sum(kvHeads)] : [layers, numberOf(kvHeads)];
  const writes =
    architecture !== undefined && !number("pooling_type") && values.get(`${architecture}.attention.causal`) !== false;
  return {
    architecture,
    contextLength: number("context_length"),
    quantization: isPlain(typeName) ? undefined : typeName,
    precision: isPlain(typeName) ? PLAIN[typeName] : undefined,
    cacheBytesPerToken: !writes
      ? undefined
      : latent
        ? latentCacheBytesPerToken(layers, latent + (number("rope.dimension_count") ?? 0))
        : cacheBytesPerToken(headLayers, kvCount, keySize && valueSize && (keySize + valueSize) / 2),
    hasTokenizer: values.has("tokenizer.ggml.model"),
    hasChatTemplate: values.has("tokenizer.chat_template"),
  };
}

const PLAIN = { F32: "fp32", F16: "fp16", BF16: "bf16" } as const;

function isPlain(typeName: string | undefined): typeName is keyof typeof PLAIN {
  return typeName !== undefined && Object.hasOwn(PLAIN, typeName);
}

function numberOf(value: GgufValue | undefined): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

async function begin(cursor: BlobCursor): Promise<{ tensors: number; keyValues: number }> {
  if ((await cursor.bytes(4)).toString("latin1") !== MAGIC) throw new MetadataProblem("is no GGUF file");
  const version = await cursor.u32();
  // A number of the other byte order has its small value at the other end.
  cursor.littleEndian = (version & 0xffff) !== 0;
  const isKnown = [2, 3].includes(cursor.littleEndian ? version : version >>> 24);
  if (!isKnown) throw new MetadataProblem("is of a version of GGUF that is not read (2 and 3 are)");
  const tensors = await cursor.u64();
  const keyValues = await cursor.u64();
  if (tensors > MAX_TENSORS || keyValues > MAX_KEY_VALUES) {
    throw new MetadataProblem(
      `announces more than ${MAX_TENSORS} tensors or ${MAX_KEY_VALUES} keys, which are not read`,
    );
  }
  return { tensors, keyValues };
}

async function readKey(cursor: BlobCursor): Promise<string> {
  const length = await cursor.u64();
  if (length > MAX_KEY_BYTES) throw new MetadataProblem("has a header with a key longer than the format allows");
  return (await cursor.bytes(length)).toString("utf8");
}

async function readElements(cursor: BlobCursor): Promise<number> {
  const dimensions = await cursor.u32();
  if (dimensions > MAX_DIMENSIONS) throw new MetadataProblem("has a header with a tensor of too many dimensions");
  let elements = 1;
  for (let index = 0; index < dimensions; index++) elements *= await cursor.u64();
  return elements;
}
