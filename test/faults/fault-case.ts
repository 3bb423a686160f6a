import { setTimeout } from "node:timers/promises";

export interface FaultOptions {
  /** How often the service is killed. */
  readonly kills: number;
  /** Bytes of the file that is downloaded meanwhile. */
  readonly size: number;
  /** What all random choices come from. */
  readonly seed: number;
}

/** What a case is given. */
export interface FaultContext extends FaultOptions {
  /** A folder of its own. */
  readonly folder: string;
  /** Whatever the case started; disposed of after it, also when its time is over. */
  readonly opened: AsyncDisposableStack;
}

/** One fault that the service has to survive. */
export interface FaultCase {
  readonly name: string;
  /** After so long it has failed. */
  readonly timeoutMs: number;
  /** Answers what was seen, in a few words; throws if the service did not do as it should, {@link Skipped} where the machine cannot. */
  run(context: FaultContext): Promise<string>;
}

/** A case cannot be run on this machine. */
export class Skipped extends Error {}

/** Fails a case whose expectation does not hold. */
export function expectThat(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`expected that ${what}`);
}

/** Waits until something holds. */
export async function until(what: string, timeoutMs: number, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`in ${timeoutMs / 1000} s it did not come about that ${what}`);
    await setTimeout(50);
  }
}
