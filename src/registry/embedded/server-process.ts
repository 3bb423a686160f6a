import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setInterval, setTimeout } from "node:timers/promises";
import { DomainError } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import { readPostmasterFile } from "./postmaster-file.ts";
import { forwardServerLog } from "./server-log.ts";

/** How a server ended: its exit code, or the signal that ended it. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A server's main process. */
export interface ServerProcess {
  readonly pid: number;
  readonly exited: Promise<ServerExit>;
  /**
   * Resolves when the server takes connections, after recovery from a crash if need be.
   *
   * @throws DomainError DATABASE_UNAVAILABLE if it ends instead; the signal's reason if that fires.
   */
  ready(cluster: string, signal?: AbortSignal): Promise<void>;
  /** Ends the server and resolves when it is gone; may be called again. */
  stop(): Promise<void>;
}

/** How often to look whether the server is ready; it says so in a file. */
const READY_POLL_MS = 10;

/** Fast shutdown, then immediate shutdown, which PostgreSQL itself bounds by five seconds, then the end. */
const STOP_SIGNALS = [
  ["SIGINT", 5_000],
  ["SIGQUIT", 8_000],
  ["SIGKILL", undefined],
] as const;

/** Takes over a server process that was just started, with its standard error as a pipe. */
export function serverProcess(child: ChildProcess, log: Logger): ServerProcess {
  const { pid, stderr } = child;
  if (pid === undefined || stderr === null) throw new Error("the server process was not started");
  const output = forwardServerLog(stderr, log);
  const exited = once(child, "exit").then(([code, signal]): ServerExit => ({ code, signal }));
  const closed = once(child, "close");
  let stopping: Promise<void> | undefined;

  const ready = async (cluster: string, signal?: AbortSignal): Promise<void> => {
    for await (const _ of setInterval(READY_POLL_MS, undefined, { signal })) {
      const file = await readPostmasterFile(cluster);
      if (file?.pid === pid && file.status === "ready") return;
      if (!isRunning(child)) break;
    }
    await closed; // the last lines of its log are read then
    throw new DomainError("DATABASE_UNAVAILABLE", "the embedded database did not start", {
      cause: new Error(`postgres ended with ${child.signalCode ?? `code ${child.exitCode}`}:\n${output.tail()}`),
    });
  };

  const end = async (): Promise<void> => {
    for (const [name, patience] of STOP_SIGNALS) {
      if (!isRunning(child)) break;
      if (name !== "SIGINT")
        log.warn("the database server does not stop: insisting", { signal: name, server_pid: pid });
      child.kill(name);
      await within(exited, patience);
    }
    await exited;
  };

  return {
    pid,
    exited,
    ready,
    stop() {
      stopping ??= end();
      return stopping;
    },
  };
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** Waits for `event`, but no longer than `milliseconds`. */
async function within(event: Promise<unknown>, milliseconds: number | undefined): Promise<void> {
  if (milliseconds === undefined) return;
  const timer = new AbortController();
  const timeout = setTimeout(milliseconds, undefined, { signal: timer.signal }).catch(() => {});
  await Promise.race([event, timeout]);
  timer.abort();
}
