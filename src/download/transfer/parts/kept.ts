import { Bitmap } from "./bitmap.ts";
import { BLOCK_BYTES, blockLength, PIECE_BYTES, PIECES_PER_BLOCK } from "./blocks.ts";
import type { Tail } from "./journal.ts";

/** What a part file holds when it is opened, as it crosses from one thread to another. */
export interface KeptBytes {
  /** A bit for each piece. */
  readonly pieces: Uint8Array;
  /** How many bytes there are of blocks that end within a piece. */
  readonly tails: readonly Tail[];
}

/** Nothing. */
export const NOTHING_KEPT: KeptBytes = { pieces: new Uint8Array(), tails: [] };

/** What of each block was in a part file when it was opened. Blocks fill from their start: what is beyond a hole is not counted. */
export class Kept {
  readonly #pieces: Bitmap;
  readonly #tails: ReadonlyMap<number, number>;

  constructor({ pieces, tails }: KeptBytes) {
    this.#pieces = new Bitmap(pieces);
    this.#tails = new Map(tails);
  }

  /** How many of a block's first bytes are there. */
  bytesOf(index: number, size: number | undefined): number {
    let pieces = 0;
    while (pieces < PIECES_PER_BLOCK && this.#pieces.has(index * PIECES_PER_BLOCK + pieces)) pieces += 1;
    return Math.min(Math.max(pieces * PIECE_BYTES, this.#tails.get(index) ?? 0), blockLength(index, size));
  }

  /** Whether all of a block is there. */
  hasWhole(index: number, size: number | undefined): boolean {
    const length = blockLength(index, size);
    return length > 0 && this.bytesOf(index, size) === length;
  }

  /** All bytes that are there. */
  total(size: number | undefined): number {
    let total = 0;
    for (const { start, end } of this.stretches(size)) total += end - start;
    return total;
  }

  /** The stretches that are there, in order, each from `start` up to, not including, `end`. */
  *stretches(size: number | undefined): Generator<{ start: number; end: number }> {
    const last = Math.max(
      (this.#pieces.bytes.length * 8) / PIECES_PER_BLOCK,
      ...[...this.#tails.keys()].map((at) => at + 1),
    );
    let open: { start: number; end: number } | undefined;
    for (let index = 0; index < last; index += 1) {
      const start = index * BLOCK_BYTES;
      const bytes = this.bytesOf(index, size);
      if (open !== undefined && open.end === start) open.end = start + bytes;
      else {
        if (open !== undefined && open.end > open.start) yield open;
        open = { start, end: start + bytes };
      }
    }
    if (open !== undefined && open.end > open.start) yield open;
  }
}
