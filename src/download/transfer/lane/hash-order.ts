import { BLOCK_BYTES } from "../parts/blocks.ts";
import type { HashDigests } from "./hash-messages.ts";
import type { Hasher, HashStream } from "./hasher.ts";
import type { Block } from "./part-file.ts";

/** Where the bytes of a file are, block by block. */
export interface OrderedBytes {
  /** Bytes of the whole file, once known. */
  readonly size: number | undefined;
  /** The open file, to be read from. */
  readonly fd: number;
  /** Gives a block up that is whole in memory; undefined if it is not. */
  take(index: number): Block | undefined;
  /** Whether a block was in the file when it was opened, and is not in memory. */
  isKept(index: number): boolean;
  /** The memory of a block is not needed any more. */
  free(slab: number): void;
  /** All bytes are hashed. */
  hashed(digests: HashDigests): void;
  failed(error: unknown): void;
}

/** Blocks of a file that are read from it at once: not many, since other files of the lane want the hash too. */
const READ_BLOCKS = 8;

/** Gives the hash the blocks of a file in their order, from memory or, of what was kept, from the file. */
export class HashOrder {
  readonly #hasher: Hasher;
  readonly #gitBlobSize: number | undefined;
  readonly #bytes: OrderedBytes;
  #stream: HashStream;
  #next = 0;
  #leaving = 0;
  #reading = false;
  #digested = false;

  constructor(hasher: Hasher, gitBlobSize: number | undefined, bytes: OrderedBytes) {
    this.#hasher = hasher;
    this.#gitBlobSize = gitBlobSize;
    this.#bytes = bytes;
    this.#stream = hasher.open(gitBlobSize);
  }

  /** Blocks before this were given to the hash. */
  get next(): number {
    return this.#next;
  }

  /** How many blocks in memory were given to the hash and are not free yet. */
  get leaving(): number {
    return this.#leaving;
  }

  /** Goes on as far as the next bytes are here. */
  advance(): void {
    for (;;) {
      const block = this.#bytes.take(this.#next);
      if (block !== undefined) {
        this.#next += 1;
        void this.#hash(block);
      } else if (this.#bytes.isKept(this.#next) && !this.#reading) this.#hashKept();
      else break;
    }
    const { size } = this.#bytes;
    const isWhole = size !== undefined && this.#next * BLOCK_BYTES >= size;
    if (isWhole && !this.#digested) this.#finish();
  }

  /** Begins anew with the first block. */
  restart(): void {
    this.#stream.drop();
    this.#stream = this.#hasher.open(this.#gitBlobSize);
    this.#next = 0;
    this.#reading = false;
    this.#digested = false;
  }

  drop(): void {
    this.#stream.drop();
  }

  /** Hashes a block, whose memory is free when it is written too. */
  async #hash({ slab, filled, writing }: Block): Promise<void> {
    this.#leaving += 1;
    const [hashed] = await Promise.allSettled([this.#stream.slab(slab, filled), writing]);
    this.#leaving -= 1;
    this.#bytes.free(slab);
    if (hashed.status === "rejected") this.#bytes.failed(hashed.reason);
  }

  #hashKept(): void {
    const { fd, size = Number.POSITIVE_INFINITY } = this.#bytes;
    const first = this.#next;
    do this.#next += 1;
    while (this.#next - first < READ_BLOCKS && this.#bytes.isKept(this.#next));
    const start = first * BLOCK_BYTES;
    this.#reading = true;
    this.#await(this.#stream.read(fd, start, Math.min(this.#next * BLOCK_BYTES, size) - start), () => {
      this.#reading = false;
      this.advance();
    });
  }

  #finish(): void {
    this.#digested = true;
    this.#await(this.#stream.digest(), (digests) => this.#bytes.hashed(digests));
  }

  /** What was asked of a stream that was given up meanwhile is of no interest. */
  #await<Answer>(answer: Promise<Answer>, then: (answer: Answer) => void): void {
    const stream = this.#stream;
    answer.then(
      (value) => {
        if (stream === this.#stream) then(value);
      },
      (error) => {
        if (stream === this.#stream) this.#bytes.failed(error);
      },
    );
  }
}
