import { BLOCK_BYTES } from "../parts/blocks.ts";

const WASM_PAGE_BYTES = 64 * 1024;

/** The part of it that is used here: Node has it, its types do not. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    initial: number;
    maximum: number;
    shared: true;
  }) => { readonly buffer: SharedArrayBuffer };
};

/** A fixed number of slabs of a block's size in memory that a lane and its hashing thread share. */
export class Slabs {
  readonly memory: SharedArrayBuffer;
  /** The last one given back is taken first, so that memory which was never needed is never touched. */
  readonly #free: number[];
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    // Begins at a page, unlike other shared memory, as the system wants it of bytes that it takes from here to the disk.
    const pages = (count * BLOCK_BYTES) / WASM_PAGE_BYTES;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer;
    this.#free = Array.from({ length: count }, (_, index) => count - 1 - index);
  }

  /** A free slab; undefined if there is none. */
  take(): number | undefined {
    return this.#free.pop();
  }

  /** Gives a slab back; its bytes may be overwritten from then on. */
  give(slab: number): void {
    this.#free.push(slab);
    for (const wake of [...this.#waiting]) wake();
  }

  /** Calls `wake` whenever a slab comes back, until the answered function is called. */
  onFree(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => this.#waiting.delete(wake);
  }

  bytes(slab: number, start: number, end: number): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.memory, slab * BLOCK_BYTES + start, end - start);
  }
}
