import { setTimeout as delay } from "node:timers/promises";

/** Time as the service's parts see it, so that tests can hold it. */
export interface Clock {
  /** Milliseconds that only ever grow, for measuring; their zero means nothing. */
  now(): number;
  /** The time of day, for people. */
  date(): Date;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as that fires. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `tick` every `ms` milliseconds until the answered function is called. Does not keep the process alive. */
  every(ms: number, tick: () => void): () => void;
}

/** The machine's time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
  every(ms, tick) {
    const timer = setInterval(tick, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};
