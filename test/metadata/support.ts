import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { crc32, gzipSync } from "node:zlib";
import { digestOfHex } from "../../src/domain/digest.ts";
import type { VersionFile, VersionMetadata } from "../../src/domain/model.ts";
import type { BlobStore } from "../../src/domain/ports/blob-store.ts";
import { createMetadataReader } from "../../src/metadata/metadata.ts";
import { createDiskStore } from "../../src/store/disk.ts";
import { silent } from "../sources/helpers.ts";

/** A store on disk that versions are put into, and a reader of what they say. */
export interface MetadataLab {
  readonly store: BlobStore;
  /** Puts files into the store as a version has them. */
  put(files: Readonly<Record<string, Uint8Array | string>>): Promise<VersionFile[]>;
  /** What the files say. */
  read(files: Readonly<Record<string, Uint8Array | string>>): Promise<VersionMetadata>;
  close(): Promise<void>;
}

/** Opens a lab in a fresh folder. */
export async function openMetadataLab(): Promise<MetadataLab> {
  const directory = await mkdtemp(join(os.tmpdir(), "model-manager-metadata-"));
  const store = await createDiskStore({ directory, log: silent });
  const reader = createMetadataReader({ store, log: silent });
  const put: MetadataLab["put"] = (files) =>
    Promise.all(
      Object.entries(files).map(async ([path, content]) => {
        const bytes = Buffer.from(content as Uint8Array);
        const digest = digestOfHex(createHash("sha256").update(bytes).digest("hex"));
        const spooled = join(store.spoolDirectory, `${crc32(path)}-${digest.slice(7)}`);
        await writeFile(spooled, bytes);
        await store.commit(digest, spooled);
        return { path, size: bytes.length, digest };
      }),
    );
  return {
    store,
    put,
    read: async (files) => reader.read(await put(files), new AbortController().signal),
    close: () => rm(directory, { recursive: true }),
  };
}

/** A tensor of a safetensors file by its format and shape. */
export type TensorShape = readonly [dtype: string, ...shape: number[]];

const BITS: Readonly<Record<string, number>> = { F32: 32, F16: 16, BF16: 16, I32: 32, U8: 8, F8_E4M3: 8 };

/** A safetensors file of these tensors, all zeros; `change` lies in the header. */
export function safetensorsFile(
  tensors: Readonly<Record<string, TensorShape>>,
  change: (header: string) => string = (header) => header,
): Buffer {
  let offset = 0;
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  for (const [name, [dtype, ...shape]] of Object.entries(tensors)) {
    const end = offset + (shape.reduce((product, size) => product * size, 1) * (BITS[dtype] ?? 0)) / 8;
    header[name] = { dtype, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = Buffer.from(change(JSON.stringify(header)));
  return Buffer.concat([u64(text.length), text, Buffer.alloc(offset)]);
}

/** A little-endian 64-bit number. */
export function u64(value: number | bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

/** A little-endian 32-bit number. */
export function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

/** GGUF's strings: their length and their bytes. */
export function ggufText(value: string): Buffer {
  return Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
}

/** The beginning of a GGUF file with these numbers of tensors and keys, then `rest`. */
export function ggufFile(tensors: number | bigint, keys: number | bigint, ...rest: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from("GGUF"), u32(3), u64(tensors), u64(keys), ...rest]);
}

/** A key of a GGUF header: type 4 is a number, 8 a text. */
export function ggufKey(name: string, value: number | string): Buffer {
  const isNumber = typeof value === "number";
  return Buffer.concat([ggufText(name), u32(isNumber ? 4 : 8), isNumber ? u32(value) : ggufText(value)]);
}

/** A tensor of a GGUF header. */
export function ggufTensor(name: string, type: number, ...shape: number[]): Buffer {
  return Buffer.concat([ggufText(name), u32(shape.length), ...shape.map((size) => u64(size)), u32(type), u64(0)]);
}

/** A zip whose entries are stored as they are. */
export function zipFile(entries: Readonly<Record<string, Uint8Array>>): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(entries)) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, Buffer.from(name), content]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02"), u32(20).subarray(0, 2), common, rest, Buffer.from(name)]));
    locals.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(directory.length, 4);
  end.writeUInt16LE(directory.length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...locals, central, Buffer.from("PK\x05\x06"), end]);
}

/** Pickles of `{"weight": 1}` by several protocols and wrappings. */
export const PICKLES: Readonly<Record<string, Buffer>> = {
  "protocol 0": Buffer.from("(dp0\nVweight\np1\nI1\ns."),
  "protocol 0 with a global": Buffer.from("cos\nsystem\n(S'true'\ntR."),
  "protocol 1": Buffer.from("}q\x00X\x06\x00\x00\x00weightq\x01K\x01s.", "latin1"),
  "with an instance, and more behind its end": Buffer.from("(S'true'\nios\nsystem\n.\0\0"),
  "that goes on beyond its beginning": Buffer.from(`(lp0\n${"I1\na".repeat(500)}.`),
  "protocol 2": Buffer.from("\x80\x02}q\x00X\x06\x00\x00\x00weightq\x01K\x01s.", "latin1"),
  "protocol 4": Buffer.from("\x80\x04\x95\x11\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x06weight\x94K\x01s.", "latin1"),
  "torch's legacy format": Buffer.from("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "latin1"),
  "torch's zip": zipFile({ "archive/data.pkl": Buffer.from("\x80\x02}."), "archive/data/0": Buffer.alloc(64) }),
  "numpy's objects": Buffer.from(
    "\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n",
    "latin1",
  ),
  gzip: gzipSync(Buffer.from("\x80\x04K\x01.", "latin1")),
};
