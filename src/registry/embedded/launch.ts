import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { DomainError } from "../../domain/errors.ts";
import { type Account, LOCK_CONFLICT_EXIT_CODE, launchCommand } from "./launch-command.ts";
import { directoryInUse } from "./owner-socket.ts";
import { runProgram } from "./run-program.ts";

/** A server about to start: time to prepare its data folder. */
export interface Launch {
  /** Starts the server. Its standard error is a pipe. */
  start(): Promise<ChildProcess>;
  /** Gives up, if the server has not been started; resolves when nothing is left running. */
  cancel(): Promise<void>;
}

/** A session of its own: a terminal's Ctrl-C would stop the server before the service has finished with it. */
const SESSION = { detached: true } satisfies SpawnOptions;

/**
 * Says that it runs, and hence that the lock is held, waits for a line, and becomes the server. If the service goes away
 * meanwhile there is no line to read, and it ends.
 */
const GATE = 'echo locked; read -r line && exec "$@" </dev/null >&2';

/** Whether this machine has the tools that tie a server to its parent and to a lock file, with the options needed. */
export async function canLock(account: Account): Promise<boolean> {
  if (process.platform !== "linux") return false;
  const guard = { parentDeathSignal: "QUIT" as const, lockFile: "/dev/null" };
  const result = await runProgram(launchCommand(account, guard, "true", [])).catch(() => undefined);
  // Another start may be trying the same just now.
  return result?.code === 0 || result?.code === LOCK_CONFLICT_EXIT_CODE;
}

/**
 * Locks a data folder for a server. The lock passes from the preparation to the server without a gap, and the server's
 * children inherit it: whoever gets it knows that none of them lives, and that whatever they left is stale.
 *
 * @param lockFile is made if need be, and never removed.
 * @throws DomainError RESOURCE_IN_USE if another process holds the lock.
 */
export async function launchLocked(
  account: Account,
  lockFile: string,
  program: string,
  programArgs: readonly string[],
): Promise<Launch> {
  const guard = { parentDeathSignal: "QUIT" as const, lockFile };
  const gate = launchCommand(account, guard, "sh", ["-c", GATE, "sh", program, ...programArgs]);
  const child = spawn(gate.command, gate.args, { ...gate.options, ...SESSION, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {}); // it has ended, and its exit tells why
  const ended = once(child, "close") as Promise<[number | null]>;
  const output = createInterface({ input: child.stdout });
  const outcome = await Promise.race([once(output, "line").then(() => undefined), ended]);
  if (outcome?.[0] === LOCK_CONFLICT_EXIT_CODE) throw directoryInUse();
  if (outcome !== undefined) {
    throw new DomainError("DATABASE_UNAVAILABLE", "the data folder could not be locked", {
      cause: new Error(`code ${outcome[0]}: ${(await text(child.stderr)).trim()}`),
    });
  }
  let started = false;
  return {
    async start() {
      started = true;
      child.stdin.end("\n");
      return child;
    },
    async cancel() {
      if (started) return;
      child.stdin.end();
      await ended;
    },
  };
}

/** The same without a lock, where there are no tools for it: PostgreSQL's own `postmaster.pid` must do. */
export function launchUnlocked(account: Account, program: string, programArgs: readonly string[]): Launch {
  const { command, args, options } = launchCommand(account, {}, program, programArgs);
  return {
    async start() {
      const child = spawn(command, args, { ...options, ...SESSION, stdio: ["ignore", "ignore", "pipe"] });
      await once(child, "spawn");
      return child;
    },
    async cancel() {},
  };
}
