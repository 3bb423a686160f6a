import { Semaphore } from "../../lib/semaphore.ts";

/** Bytes of one slab: large enough that a write costs little more than its copy. */
export const SLAB_BYTES = 1024 * 1024;

/** A piece of memory that bytes are collected in before they are written and hashed. */
export interface Slab {
  /** All of a buffer of its own, which can be handed to another thread. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Gives the slab back, with its memory if that is at hand again; the bytes may be overwritten from then on. */
  release(memory?: ArrayBuffer): void;
}

/** A bounded number of slabs, made when needed: who needs one while all are in use waits. */
export class SlabPool {
  readonly #permits: Semaphore;
  readonly #idle: ArrayBuffer[] = [];

  constructor(slabs: number) {
    this.#permits = new Semaphore(slabs);
  }

  async acquire(signal: AbortSignal): Promise<Slab> {
    const release = await this.#permits.acquire(signal);
    return {
      bytes: new Uint8Array(this.#idle.pop() ?? new ArrayBuffer(SLAB_BYTES)),
      release: (memory) => {
        if (memory !== undefined) this.#idle.push(memory);
        release();
      },
    };
  }
}
