import { Semaphore } from "./semaphore.ts";

/** One lock per key: work under the same key runs one after the other, work under different keys side by side. */
export class KeyedLock {
  readonly #locks = new Map<string, { semaphore: Semaphore; users: number }>();

  /** Runs `work` when nobody else holds `key`; rejects with the signal's reason if that fires while it waits. */
  async run<Result>(key: string, signal: AbortSignal | undefined, work: () => Promise<Result>): Promise<Result> {
    const lock = this.#locks.get(key) ?? { semaphore: new Semaphore(1), users: 0 };
    lock.users += 1;
    this.#locks.set(key, lock);
    try {
      const release = await lock.semaphore.acquire(signal);
      try {
        return await work();
      } finally {
        release();
      }
    } finally {
      lock.users -= 1;
      if (lock.users === 0) this.#locks.delete(key);
    }
  }
}
