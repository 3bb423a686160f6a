import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const MAIN = resolve(import.meta.dirname, "../../dist/main.js");

/** The built service as a process of its own. */
export interface ServiceProcess {
  readonly pid: number;
  readonly url: string;
  /** What it wrote so far, to both streams. */
  readonly output: () => string;
  /** Resolves with how the process ended. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  kill(signal: NodeJS.Signals): void;
}

export interface ServiceProcessOptions {
  /** Gets the process before it listens, to end it should the test give up on it. */
  readonly onSpawn?: (process: Pick<ServiceProcess, "kill" | "exited">) => void;
  /** What runs the service's own command line, such as a shell; signals go to it. */
  readonly runner?: readonly string[];
}

/** Starts `serve` on a free port and waits until it listens. Rejects with its output if it ends before. */
export async function startServiceProcess(
  environment: Record<string, string>,
  { onSpawn, runner }: ServiceProcessOptions = {},
): Promise<ServiceProcess> {
  const process = spawnService({ MODEL_MANAGER_PORT: "0", ...environment }, runner);
  onSpawn?.(process);
  const listening = Promise.withResolvers<string>();
  process.onLine((line) => {
    const [, url] = /listens on (http\S+)/.exec(line) ?? [];
    if (url) listening.resolve(url);
  });
  process.exited.then(() => listening.reject(new Error(`the service ended:\n${process.output()}`)));
  return { ...process, url: await listening.promise };
}

/** Runs `serve` where it is expected to refuse, and answers its exit code and its output. */
export async function runRefusedService(
  environment: Record<string, string>,
  { onSpawn }: Pick<ServiceProcessOptions, "onSpawn"> = {},
): Promise<{ code: number | null; output: string }> {
  const process = spawnService({ MODEL_MANAGER_PORT: "0", ...environment });
  onSpawn?.(process);
  const { code } = await process.exited;
  return { code, output: process.output() };
}

function spawnService(environment: Record<string, string>, runner: readonly string[] = []) {
  const [command = process.execPath, ...args] = [...runner, process.execPath, MAIN, "serve"];
  const child: ChildProcess = spawn(command, args, {
    env: {
      PATH: process.env.PATH,
      NODE_ENV: "production",
      MODEL_MANAGER_LOG_FORMAT: "json",
      MODEL_MANAGER_HEADROOM: "0",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const listeners: ((line: string) => void)[] = [(line) => lines.push(line)];
  for (const stream of [child.stdout, child.stderr]) {
    if (stream) createInterface({ input: stream }).on("line", (line) => listeners.map((listener) => listener(line)));
  }
  return {
    pid: child.pid as number,
    output: () => lines.join("\n"),
    onLine: (listener: (line: string) => void) => void listeners.push(listener),
    exited: once(child, "exit").then(([code, signal]) => ({ code, signal })),
    kill: (signal: NodeJS.Signals) => void child.kill(signal),
  };
}
