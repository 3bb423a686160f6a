import type { Clock } from "../../../src/lib/clock.ts";

/** Time that moves when it is told to. */
export interface ManualClock extends Clock {
  /** Lets `ms` milliseconds pass: whoever sleeps or is called regularly gets their turns, in order. */
  pass(ms: number): Promise<void>;
}

interface Appointment {
  at: number;
  readonly meet: () => void;
  readonly every?: number;
}

export function manualClock(): ManualClock {
  let now = 1_000_000;
  const appointments = new Set<Appointment>();
  return {
    now: () => now,
    date: () => new Date(now),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const appointment = { at: now + ms, meet: resolve };
        appointments.add(appointment);
        signal?.addEventListener("abort", () => {
          appointments.delete(appointment);
          reject(signal.reason);
        });
      }),
    every: (ms, meet) => {
      const appointment = { at: now + ms, meet, every: ms };
      appointments.add(appointment);
      return () => void appointments.delete(appointment);
    },
    async pass(ms) {
      const end = now + ms;
      await settled();
      for (;;) {
        const [next] = [...appointments].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        now = next.at;
        if (next.every === undefined) appointments.delete(next);
        else next.at += next.every;
        next.meet();
        await settled();
      }
      now = end;
    },
  };
}

/** Lets everything that is ready run. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
