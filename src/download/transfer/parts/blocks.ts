/** Bytes of one block: what memory holds and one write takes. Large enough that a write costs little more than its copy. */
export const BLOCK_BYTES = 1024 * 1024;

/** Bytes of one piece: what a journal vouches for. A whole number of them is a block. */
export const PIECE_BYTES = 256 * 1024;

/** Pieces of one block. */
export const PIECES_PER_BLOCK = BLOCK_BYTES / PIECE_BYTES;

/** Bytes of a block of a file of `size` bytes; none beyond its end. */
export function blockLength(index: number, size: number | undefined): number {
  return size === undefined ? BLOCK_BYTES : Math.max(0, Math.min(BLOCK_BYTES, size - index * BLOCK_BYTES));
}
