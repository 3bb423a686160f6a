import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { endedChildrenCpuSeconds } from "./process-usage.ts";

/** Where servers are that are not on everybody's path. */
const FURTHER_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];

/** The time that a program took, and its processor time where that can be told, in seconds. */
export interface ProgramUsage {
  readonly seconds: number;
  readonly cpuSeconds: number | undefined;
}

/** Where a program is; undefined if it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...FURTHER_FOLDERS];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs a program to its end. No other child of this process may end meanwhile, or its processor time is counted too.
 *
 * @throws Error with what it wrote if it does not end with 0.
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<ProgramUsage> {
  const before = await endedChildrenCpuSeconds();
  const startedAt = performance.now();
  const child = spawn(command, args, {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [[code], errors] = await Promise.all([once(child, "exit"), text(child.stderr)]);
  const seconds = (performance.now() - startedAt) / 1000;
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${errors.trim()}`);
  const after = await endedChildrenCpuSeconds();
  return { seconds, cpuSeconds: before === undefined || after === undefined ? undefined : after - before };
}

/** What two programs took that ran one after the other. */
export function addUsage(one: ProgramUsage, other: ProgramUsage): ProgramUsage {
  const known = one.cpuSeconds !== undefined && other.cpuSeconds !== undefined;
  return {
    seconds: one.seconds + other.seconds,
    cpuSeconds: known ? (one.cpuSeconds ?? 0) + (other.cpuSeconds ?? 0) : undefined,
  };
}
