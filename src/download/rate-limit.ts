import type { Clock } from "../lib/clock.ts";

/** Makes bytes wait for their turn. */
export interface RateLimiter {
  /**
   * How many bytes may sensibly be taken at once, as of now: what passes in 50 ms, from 16 KiB to 8 MiB. More would come
   * in bursts, less would cost time.
   */
  readonly quantum: number;
  /** Resolves when `bytes` more may pass; rejects with the signal's reason. Callers pass in the order in which they came. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
}

/** How much may pass at once after a rest, as a share of a second. */
const BURST_MS = 250;

/** The longest that a caller sleeps before it looks whether the rate has changed. */
const NAP_MS = 250;

const QUANTUM_MS = 50;
const LEAST_QUANTUM = 16 * 1024;
/** See {@link RateLimiter.quantum}; also that of a limiter that limits nothing. */
export const MOST_QUANTUM = 8 * 1024 * 1024;

/** A token bucket that lets a quarter of a second's bytes pass at once after a rest. Its rate may change at any time. */
export class TokenBucket implements RateLimiter {
  readonly #clock: Clock;
  /** Undefined for no limit. */
  #bytesPerMs: number | undefined;
  /** Bytes that callers were promised, since the beginning. */
  #promised = 0;
  /** Bytes that may have passed until `#settledAt`, since the beginning. */
  #passed = 0;
  #settledAt: number;

  constructor(bytesPerSecond: number | undefined, clock: Clock) {
    this.#clock = clock;
    this.#settledAt = clock.now();
    this.#bytesPerMs = perMs(bytesPerSecond);
  }

  get quantum(): number {
    if (this.#bytesPerMs === undefined) return MOST_QUANTUM;
    return Math.min(MOST_QUANTUM, Math.max(LEAST_QUANTUM, Math.floor(this.#bytesPerMs * QUANTUM_MS)));
  }

  /** Changes the rate, also for those who wait. */
  limit(bytesPerSecond: number | undefined): void {
    this.#settle();
    this.#bytesPerMs = perMs(bytesPerSecond);
  }

  async take(bytes: number, signal: AbortSignal): Promise<void> {
    this.#settle();
    this.#promised += bytes;
    const mine = this.#promised;
    for (;;) {
      this.#settle();
      if (this.#bytesPerMs === undefined || this.#passed >= mine) return;
      await this.#clock.sleep(Math.min((mine - this.#passed) / this.#bytesPerMs, NAP_MS), signal);
    }
  }

  /** Counts what has passed at the present rate; what nobody asked for is lost but for the burst. */
  #settle(): void {
    const now = this.#clock.now();
    this.#passed =
      this.#bytesPerMs === undefined
        ? this.#promised
        : Math.min(
            this.#passed + (now - this.#settledAt) * this.#bytesPerMs,
            this.#promised + BURST_MS * this.#bytesPerMs,
          );
    this.#settledAt = now;
  }
}

function perMs(bytesPerSecond: number | undefined): number | undefined {
  return bytesPerSecond === undefined ? undefined : bytesPerSecond / 1000;
}

/** The limiter that obeys all of `limiters`; those that are undefined limit nothing. */
export function joinLimiters(...limiters: readonly (RateLimiter | undefined)[]): RateLimiter {
  const real = limiters.filter((limiter) => limiter !== undefined);
  return {
    get quantum() {
      return Math.min(MOST_QUANTUM, ...real.map(({ quantum }) => quantum));
    },
    async take(bytes, signal) {
      for (const limiter of real) await limiter.take(bytes, signal);
    },
  };
}
