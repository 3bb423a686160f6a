import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { LaunchCommand } from "./launch-command.ts";

/** How a program ended and what it said. */
export interface ProgramResult {
  /** The exit code, or null if a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a short program to its end.
 *
 * @throws Error of `spawn` if it cannot be run at all; the reason of `signal` if that fires, after the program has ended.
 */
export async function runProgram(launch: LaunchCommand, signal?: AbortSignal): Promise<ProgramResult> {
  signal?.throwIfAborted();
  const child = spawn(launch.command, launch.args, { ...launch.options, stdio: ["ignore", "pipe", "pipe"] });
  const abort = () => child.kill("SIGTERM");
  signal?.addEventListener("abort", abort, { once: true });
  try {
    const [[code], stdout, stderr] = await Promise.all([
      once(child, "close") as Promise<[number | null]>,
      text(child.stdout),
      text(child.stderr),
    ]);
    signal?.throwIfAborted();
    return { code, stdout, stderr };
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
