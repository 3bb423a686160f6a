/** Lets a bounded number of holders in at once; the others wait in the order in which they came. */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  readonly #permits: number;

  constructor(permits: number) {
    this.#permits = permits;
    this.#free = permits;
  }

  /** Whether somebody waits. */
  get isContended(): boolean {
    return this.#waiting.size > 0;
  }

  /** Whether nobody is in. */
  get isIdle(): boolean {
    return this.#free === this.#permits;
  }

  /** Resolves with the function that gives the permit back; it may be called again. Rejects with the signal's reason. */
  async acquire(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    return this.#permit();
  }

  /** The same without waiting: undefined if nobody can be let in now. */
  tryAcquire(): (() => void) | undefined {
    if (this.#free === 0) return undefined;
    this.#free -= 1;
    return this.#permit();
  }

  #permit(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#give();
    };
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const enter = () => {
      signal?.removeEventListener("abort", leave);
      resolve();
    };
    const leave = () => {
      this.#waiting.delete(enter);
      reject(signal?.reason);
    };
    this.#waiting.add(enter);
    signal?.addEventListener("abort", leave, { once: true });
    return promise;
  }

  #give(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
