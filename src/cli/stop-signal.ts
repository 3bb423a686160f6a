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

/** Ctrl-C reaches a process under npm twice: from the terminal and from npm. What comes so soon after is the same wish. */
const SAME_WISH_MS = 500;

/** How often to look whether npx is there. */
const PARENT_POLL_MS = 250;

/**
 * Waits for SIGTERM, SIGINT or SIGHUP; a second one later ends the process at once, with 128 and its number. The end of the
 * npx that started this process counts as a first one.
 */
export function awaitStop(log: Logger): Stop {
  const { promise, resolve } = Promise.withResolvers<void>();
  let askedAt: number | undefined;
  const onSignal = (signal: StopSignal) => {
    if (askedAt !== undefined) {
      if (performance.now() - askedAt > SAME_WISH_MS) process.exit(128 + SIGNALS[signal]);
      return;
    }
    askedAt = performance.now();
    log.info("stopping; a second signal ends it at once", { signal });
    resolve();
  };
  const unwatch = watchNpx(() => {
    if (askedAt === undefined) onSignal("SIGTERM");
  });
  const names = Object.keys(SIGNALS) as StopSignal[];
  for (const name of names) process.on(name, onSignal);
  return {
    asked: promise,
    isAsked: () => askedAt !== undefined,
    forget() {
      unwatch();
      for (const name of names) process.off(name, onSignal);
    },
  };
}

/**
 * A signal to npx ends npx and the shell that it puts between itself and the program, and never reaches the program. So the
 * shell's end is taken for the signal; without npx a process may well outlive its parent.
 */
function watchNpx(onGone: () => void): () => void {
  if (process.env.npm_command !== "exec") return () => {};
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid !== parent) onGone();
  }, PARENT_POLL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
