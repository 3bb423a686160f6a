import type { BlobFile } from "./blob-file.ts";
import { MetadataProblem } from "./problem.ts";

const WINDOW_BYTES = 1 << 18;

/** Walks forward through a file; what is skipped is not read. Numbers are little-endian unless told otherwise. */
export class BlobCursor {
  readonly #file: BlobFile;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #position = 0;
  littleEndian = true;

  constructor(file: BlobFile) {
    this.#file = file;
  }

  get position(): number {
    return this.#position;
  }

  /** Bytes up to the end of the file. */
  get left(): number {
    return this.#file.size - this.#position;
  }

  /** Whether the next bytes are in memory: then {@link BlobCursor.need} can be left out. */
  has(bytes: number): boolean {
    const at = this.#position - this.#windowStart;
    return at >= 0 && at + bytes <= this.#window.length;
  }

  /** Brings the next bytes into memory; a problem if the file ends before. */
  async need(bytes: number): Promise<void> {
    if (bytes > this.left) throw new MetadataProblem("ends in the middle of its header");
    if (this.has(bytes)) return;
    this.#window = await this.#file.read(this.#position, this.#position + Math.max(bytes, WINDOW_BYTES));
    this.#windowStart = this.#position;
  }

  skip(bytes: number): void {
    if (bytes > this.left) throw new MetadataProblem("ends in the middle of its header");
    this.#position += bytes;
  }

  async bytes(length: number): Promise<Buffer> {
    await this.need(length);
    return this.#take(length);
  }

  async u8(): Promise<number> {
    return (await this.bytes(1)).readUInt8();
  }

  async u32(): Promise<number> {
    const bytes = await this.bytes(4);
    return this.littleEndian ? bytes.readUInt32LE() : bytes.readUInt32BE();
  }

  /** A 64-bit count; one beyond what can be counted exactly is more than any file holds. */
  async u64(): Promise<number> {
    await this.need(8);
    return this.takeU64();
  }

  /** The same for bytes that are in memory. */
  takeU64(): number {
    const bytes = this.#take(8);
    return Number(this.littleEndian ? bytes.readBigUInt64LE() : bytes.readBigUInt64BE());
  }

  #take(length: number): Buffer {
    const at = this.#position - this.#windowStart;
    this.#position += length;
    return this.#window.subarray(at, at + length);
  }
}
