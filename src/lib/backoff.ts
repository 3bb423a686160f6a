/** How waiting times grow from one failure to the next. */
export interface Backoff {
  /** The longest first wait, in milliseconds; it doubles with every failure. */
  readonly baseMs: number;
  /** The longest wait of all, in milliseconds. */
  readonly maxMs: number;
}

/**
 * How long to wait after the `failures`-th failure in a row (1 for the first), in milliseconds: between half and all of a
 * doubling time, so that many who failed together do not come back together. `random` answers 0 up to, not including, 1.
 */
export function backoffMs({ baseMs, maxMs }: Backoff, failures: number, random: () => number): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** (failures - 1));
  return ceiling * (0.5 + random() / 2);
}
