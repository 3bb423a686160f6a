import { Semaphore } from "../../lib/semaphore.ts";

/** Bytes of one slab: large enough that a write costs little more than its copy. */
export const SLAB_BYTES = 1024 * 1024;

/** A piece of shared memory that bytes are collected in before they are written and hashed. */
export interface Slab {
  readonly bytes: Uint8Array;
  /** Gives it back; its bytes may be overwritten from then on. */
  release(): void;
}

/** A bounded number of slabs, made when needed: who needs one while all are in use waits. */
export class SlabPool {
  readonly #permits: Semaphore;
  readonly #idle: Uint8Array[] = [];

  constructor(slabs: number) {
    this.#permits = new Semaphore(slabs);
  }

  async acquire(signal: AbortSignal): Promise<Slab> {
    const release = await this.#permits.acquire(signal);
    const bytes = this.#idle.pop() ?? new Uint8Array(new SharedArrayBuffer(SLAB_BYTES));
    return {
      bytes,
      release: () => {
        this.#idle.push(bytes);
        release();
      },
    };
  }
}
