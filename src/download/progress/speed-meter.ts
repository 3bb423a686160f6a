import type { Clock } from "../../lib/clock.ts";

const WINDOW_MS = 3_000;
const SLICE_MS = 100;

/** The speed of the last three seconds. */
export class SpeedMeter {
  readonly #clock: Clock;
  /** Bytes in slices of a tenth of a second, oldest first. */
  readonly #slices: { readonly slice: number; bytes: number }[] = [];
  #begin: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(bytes: number): void {
    const now = this.#clock.now();
    this.#begin ??= now;
    const slice = Math.floor(now / SLICE_MS);
    const last = this.#slices.at(-1);
    if (last?.slice === slice) last.bytes += bytes;
    else this.#slices.push({ slice, bytes });
    this.#forget(now);
  }

  /** Whole bytes a second; 0 until a slice is over. */
  get bytesPerSecond(): number {
    const now = this.#clock.now();
    this.#forget(now);
    const elapsed = Math.min(WINDOW_MS, now - (this.#begin ?? now));
    if (elapsed < SLICE_MS) return 0;
    const bytes = this.#slices.reduce((sum, slice) => sum + slice.bytes, 0);
    return Math.round((bytes * 1000) / elapsed);
  }

  #forget(now: number): void {
    const oldest = (now - WINDOW_MS) / SLICE_MS;
    while (this.#slices[0] !== undefined && this.#slices[0].slice < oldest) this.#slices.shift();
    if (this.#slices.length === 0) this.#begin = undefined;
  }
}
