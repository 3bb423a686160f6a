import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** The processes that name `folder` on their command line or work below it, as PostgreSQL's own do; needs Linux' /proc. */
export function processesBelow(folder: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .filter((pid) => commandLine(pid).includes(folder) || workingFolder(pid).startsWith(folder));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function workingFolder(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}
