/** An archive that is not as it should be; the message is the rule that it breaks. */
export class ArchiveBroken extends Error {}

const MiB = 1024 * 1024;
/** More than weights ever shrink; less than what a bomb needs. */
const MOST_RATIO = 200;
/** Small archives may grow so far whatever they were packed from. */
const MOST_GROWTH_BYTES = 64 * MiB;
/** Headers and padding of an entry, with room for long names. */
const ENTRY_OVERHEAD_BYTES = 8 * 1024;
/** Besides, for all entries together: what streams hold, and the end of the archive. */
const OVERHEAD_BYTES = 16 * MiB;
/** An archive ends with blocks of zeros of this size. */
const BLOCK_BYTES = 512;
const END = Buffer.alloc(BLOCK_BYTES);

/** Watches the bytes of an archive on their way from its unpacker to whoever takes it apart. */
export class ArchiveGuard {
  /** Entries that were found. */
  entries = 0;
  /** Bytes of entries that were read. */
  delivered = 0;
  /** Why no more bytes come, if that is not the end. */
  failure: unknown;
  readonly #most: number;
  #passed = 0;

  /** `size` is that of the packed archive, in bytes. */
  constructor(size: number) {
    this.#most = size * MOST_RATIO + MOST_GROWTH_BYTES;
  }

  /** Passes bytes on; ArchiveBroken if they are too many, if hardly any of them is a file's, or if their end is missing. */
  async *pass(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let tail: Buffer = Buffer.alloc(0);
    for await (const chunk of bytes) {
      this.#passed += chunk.length;
      tail = (chunk.length < BLOCK_BYTES ? Buffer.concat([tail, chunk]) : chunk).subarray(-BLOCK_BYTES);
      if (this.#passed > this.#most) {
        throw new ArchiveBroken(`must not grow to more than ${MOST_RATIO} times its size when it is unpacked`);
      }
      if (this.#passed - this.delivered > OVERHEAD_BYTES + this.entries * ENTRY_OVERHEAD_BYTES) {
        throw new ArchiveBroken("must consist of files more than of headers");
      }
      yield chunk;
    }
    if (!tail.equals(END)) throw new ArchiveBroken("must be whole: the mark of its end is missing");
  }
}
