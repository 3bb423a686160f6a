import type { Logger } from "../domain/logger.ts";

/** The operator's wish that the service end. */
export interface Stop {
  /** Resolves with the first signal. */
  readonly asked: Promise<void>;
  isAsked(): boolean;
  /** Hears signals no longer. */
  forget(): void;
}

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
type StopSignal = keyof typeof SIGNALS;

/** Waits for SIGTERM, SIGINT or SIGHUP; the second of them ends the process at once, with 128 and its number. */
export function awaitStop(log: Logger): Stop {
  const { promise, resolve } = Promise.withResolvers<void>();
  let asked = false;
  const onSignal = (signal: StopSignal) => {
    if (asked) process.exit(128 + SIGNALS[signal]);
    asked = true;
    log.info("stopping; a second signal ends it at once", { signal });
    resolve();
  };
  const names = Object.keys(SIGNALS) as StopSignal[];
  for (const name of names) process.on(name, onSignal);
  return {
    asked: promise,
    isAsked: () => asked,
    forget() {
      for (const name of names) process.off(name, onSignal);
    },
  };
}
