import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import os from "node:os";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";

/** The built program, as users run it; `npm test` builds it first. */
const MAIN = resolve(import.meta.dirname, "../../dist/main.js");

/** How a run of the command line ended. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Default a folder without a `.env` file. */
  readonly cwd?: string;
}

/** A run that is under way. */
export interface RunningCli {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  /** Resolves when it has ended. */
  readonly result: Promise<CliResult>;
  /** Resolves with the first text of its standard output or error that matches; rejects if it ends before. */
  seen(pattern: RegExp): Promise<RegExpExecArray>;
}

/** Starts the command line as a process of its own, with nothing of the test's own environment that it would read. */
export function startCli(args: readonly string[], { env = {}, cwd = os.tmpdir() }: CliOptions = {}): RunningCli {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(MODEL_MANAGER_|HF_|DATABASE_URL|NODE_ENV)/.test(name),
  );
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
      for (const look of [...waiting]) look();
    });
  }
  const result = Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)]).then(
    ([[code], stdout, stderr]): CliResult => ({ code, stdout, stderr }),
  );
  const seen = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((found, fail) => {
      const look = () => {
        const match = pattern.exec(output);
        if (match === null) return;
        waiting.delete(look);
        found(match);
      };
      waiting.add(look);
      look();
      result.then(() => fail(new Error(`it ended without ${pattern}:\n${output}`)), fail);
    });
  return { child, result, seen };
}

/** Runs a command to its end. */
export function runCli(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  return startCli(args, options).result;
}
