import type { Clock } from "../lib/clock.ts";

/** Makes bytes wait for their turn. */
export interface RateLimiter {
  /** Resolves when `bytes` more may pass; rejects with the signal's reason. Callers pass in the order in which they came. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
}

/** How much may pass at once after a rest, as a share of a second. */
const BURST_MS = 250;

/** A token bucket of `bytesPerSecond`, which lets a quarter of a second's bytes pass at once after a rest. */
export class TokenBucket implements RateLimiter {
  readonly #bytesPerMs: number;
  readonly #clock: Clock;
  /** When all that was promised so far has passed at the rate. */
  #promisedUntil: number;

  constructor(bytesPerSecond: number, clock: Clock) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#clock = clock;
    this.#promisedUntil = clock.now() - BURST_MS;
  }

  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#clock.now();
    this.#promisedUntil = Math.max(this.#promisedUntil, now - BURST_MS) + bytes / this.#bytesPerMs;
    if (this.#promisedUntil > now) await this.#clock.sleep(this.#promisedUntil - now, signal);
  }
}

/** The limiter that obeys all of `limiters`; those that are undefined limit nothing. */
export function joinLimiters(...limiters: readonly (RateLimiter | undefined)[]): RateLimiter {
  const real = limiters.filter((limiter) => limiter !== undefined);
  return {
    async take(bytes, signal) {
      for (const limiter of real) await limiter.take(bytes, signal);
    },
  };
}
