import { humanBytes } from "../lib/bytes.ts";
import type { BlobFile } from "./blob-file.ts";
import type { Packing } from "./config-json.ts";
import type { Facts } from "./facts.ts";
import { MAX_JSON_BYTES, parseJson } from "./json-file.ts";
import { MetadataProblem } from "./problem.ts";

/** A tensor as the header of its file describes it. */
export interface SafeTensor {
  readonly name: string;
  /** As safetensors names it, such as `BF16`. */
  readonly dtype: string;
  /** How many numbers it holds. */
  readonly elements: number;
  readonly start: number;
  readonly end: number;
}

const PREFIX_BYTES = 8;

/** Formats of numbers: bits of one, and what they are called elsewhere. */
const DTYPES: Readonly<Record<string, readonly [bits: number, precision: string]>> = {
  F64: [64, "fp64"],
  F32: [32, "fp32"],
  F16: [16, "fp16"],
  BF16: [16, "bf16"],
  F8_E4M3: [8, "fp8"],
  F8_E5M2: [8, "fp8"],
  I64: [64, "int64"],
  I32: [32, "int32"],
  I16: [16, "int16"],
  I8: [8, "int8"],
  U64: [64, "uint64"],
  U32: [32, "uint32"],
  U16: [16, "uint16"],
  U8: [8, "uint8"],
  BOOL: [8, "bool"],
};

/**
 * Reads the header of a safetensors file and checks it: every tensor as long as its shape says, and all of them filling the
 * file without gaps or overlaps, as the format demands. A name that is there twice leaves a gap.
 */
export async function readSafetensors(file: BlobFile): Promise<SafeTensor[]> {
  if (file.size < PREFIX_BYTES) throw new MetadataProblem("is too short for a safetensors file");
  const length = (await file.read(0, PREFIX_BYTES)).readBigUInt64LE();
  if (length > BigInt(file.size - PREFIX_BYTES)) throw new MetadataProblem("announces a header longer than itself");
  if (length > BigInt(MAX_JSON_BYTES)) {
    throw new MetadataProblem(`has a header of more than ${humanBytes(MAX_JSON_BYTES)}, which is not read`);
  }
  const dataStart = PREFIX_BYTES + Number(length);
  const header = parseJson(await file.read(PREFIX_BYTES, dataStart));
  if (typeof header !== "object" || header === null || Array.isArray(header)) throw malformed("is no object");
  const tensors = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => tensorOf(name, entry));
  assertFilled(tensors, file.size - dataStart);
  return tensors;
}

/** Adds up the tensors of all files of one model. */
export function safetensorsFacts(tensors: readonly SafeTensor[], packing: Packing | undefined): Facts {
  const elements = new Map<string, number>();
  let parameterCount = 0;
  let weightBytes = 0;
  for (const tensor of tensors) {
    parameterCount += tensor.elements * weightsPerElement(tensor, packing);
    weightBytes += tensor.end - tensor.start;
    elements.set(tensor.dtype, (elements.get(tensor.dtype) ?? 0) + tensor.elements);
  }
  const [most] = [...elements].sort(([, a], [, b]) => b - a);
  return {
    parameterCount: Number.isSafeInteger(parameterCount) ? parameterCount : undefined,
    weightBytes,
    precision: packing !== undefined || most === undefined ? undefined : DTYPES[most[0]]?.[1],
  };
}

/** What helps to unpack weights and is none itself. */
const HELPERS =
  /(?:\.(?:qzeros|scales|g_idx|absmax|quant_map|nested_absmax|nested_quant_map|weight_scale|weight_scale_inv|weight_shape|weight_zero_point|weight_g_idx|input_scale|SCB)|_scales|\.quant_state\.[\w.]+)$/;
const PACKED_IN_WORDS = /\.(?:qweight|weight_packed)$/;
const PACKED_IN_PAIRS = /(?:\.weight|_blocks)$/;

function weightsPerElement({ name, dtype }: SafeTensor, packing: Packing | undefined): number {
  if (packing === undefined) return 1;
  if (HELPERS.test(name)) return 0;
  if (dtype === "I32" && PACKED_IN_WORDS.test(name)) return 32 / (packing.bits ?? 4);
  return dtype === "U8" && PACKED_IN_PAIRS.test(name) ? 2 : 1;
}

function tensorOf(name: string, entry: unknown): SafeTensor {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  if (typeof dtype !== "string" || !isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    throw malformed("describes a tensor in a way that is not understood");
  }
  const [start = 0, end = 0] = offsets;
  const elements = shape.reduce((product, size) => product * size, 1);
  const bits = DTYPES[dtype]?.[0];
  if (end < start || (bits !== undefined && (elements * bits) / 8 !== end - start)) {
    throw malformed("describes a tensor of another length than its shape");
  }
  return { name, dtype, elements, start, end };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function assertFilled(tensors: readonly SafeTensor[], dataBytes: number): void {
  let at = 0;
  for (const { start, end } of tensors.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    if (start !== at) throw malformed("leaves gaps between its tensors, or lets them overlap");
    at = end;
  }
  if (at !== dataBytes) throw malformed("does not describe all that is in the file");
}

function malformed(what: string): MetadataProblem {
  return new MetadataProblem(`has a header that ${what}`);
}
