import { setTimeout } from "node:timers/promises";

/** So much of the time that was not used may be made up for: a timer is a few milliseconds late, and never early. */
const MOST_CREDIT_MS = 50;

/** Lets bytes through at a steady rate; resolves when those before them have had their time. */
export type Pace = (bytes: number) => Promise<void>;

/** Makes a pace of so many bytes a second, for any number of users that share it. */
export function paceOf(bytesPerSecond: number): Pace {
  let free = performance.now();
  return async (bytes) => {
    const now = performance.now();
    free = Math.max(free, now - MOST_CREDIT_MS) + (1000 * bytes) / bytesPerSecond;
    if (free > now) await setTimeout(free - now);
  };
}
