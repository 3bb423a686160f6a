import { type DomainError, isDomainError } from "../domain/errors.ts";
import { SourceUnavailable } from "../domain/ports/sources.ts";
import { type Backoff, backoffMs } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";

/** What waiting between attempts takes. */
export interface RetryTools {
  readonly clock: Clock;
  readonly random: () => number;
  readonly sourceBackoff: Backoff;
}

/** Hears of the passing failure that is waited out, and `undefined` when it is over. */
export type WaitingObserver = (failure: DomainError | undefined) => void;

const DATABASE_BACKOFF: Backoff = { baseMs: 200, maxMs: 2_000 };
const MAX_SOURCE_FAILURES = 8;
/** A source that is silent for so long is said to be waited for, long before it is given up. */
const SILENCE_MS = 1_500;

/** Runs a write of the record, again and again while the database is away; only for writes that are harmless to repeat. */
export async function throughOutages<Result>(
  { clock, random }: RetryTools,
  signal: AbortSignal,
  write: () => Promise<Result>,
  waiting: WaitingObserver = () => {},
): Promise<Result> {
  for (let failures = 1; ; failures += 1) {
    signal.throwIfAborted();
    try {
      const result = await write();
      if (failures > 1) waiting(undefined);
      return result;
    } catch (error) {
      if (!isDomainError(error, "DATABASE_UNAVAILABLE")) throw error;
      waiting(error);
      await clock.sleep(backoffMs(DATABASE_BACKOFF, failures, random), signal);
    }
  }
}

/** Asks a source, up to eight times while it is unavailable. */
export async function askSource<Result>(
  { clock, random, sourceBackoff }: RetryTools,
  signal: AbortSignal,
  ask: () => Promise<Result>,
  waiting: WaitingObserver,
): Promise<Result> {
  const answered = new AbortController();
  const silence = () => waiting(new SourceUnavailable("the source has not answered yet"));
  clock.sleep(SILENCE_MS, answered.signal).then(silence, () => {});
  try {
    for (let failures = 1; ; failures += 1) {
      signal.throwIfAborted();
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof SourceUnavailable) || failures >= MAX_SOURCE_FAILURES) throw error;
        answered.abort();
        waiting(error);
        await clock.sleep(Math.max(error.retryAfterMs ?? 0, backoffMs(sourceBackoff, failures, random)), signal);
      }
    }
  } finally {
    answered.abort();
    waiting(undefined);
  }
}
