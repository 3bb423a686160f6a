import type { RateLimiter } from "../rate-limit.ts";

/** So many quanta are on their way at once, so that a file never waits for the main thread. */
const AHEAD = 4;

/** Lets a file's bytes in as the limits allow, a little ahead of what comes. */
export class Credit {
  readonly #limiter: RateLimiter;
  readonly #grant: (bytes: number) => void;
  #granted = 0;
  #taken = 0;
  #wake: (() => void) | undefined;

  constructor(limiter: RateLimiter, grant: (bytes: number) => void) {
    this.#limiter = limiter;
    this.#grant = grant;
  }

  /** So many bytes came. */
  took(bytes: number): void {
    this.#taken += bytes;
    this.#wake?.();
  }

  /** Grants until the signal fires; never more than the `missing` bytes ask for. Rejects with the error of a limiter. */
  async run(missing: () => number, signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    while (!signal.aborted) {
      const { quantum } = this.#limiter;
      const outstanding = this.#granted - this.#taken;
      const bytes = Math.min(quantum, missing() - outstanding);
      if (bytes <= 0 || outstanding >= AHEAD * quantum) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      try {
        await this.#limiter.take(bytes, signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      this.#granted += bytes;
      this.#grant(bytes);
    }
  }
}
