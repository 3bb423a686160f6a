import { readFile, writeFile } from "node:fs/promises";

/** Linux counts processor time for `/proc` in hundredths of a second. */
const TICKS_A_SECOND = 100;
const KIB = 1024;

/** Seconds of processor time, user and system, of a process with all its threads; undefined where there is no `/proc`. */
export async function cpuSeconds(pid: number): Promise<number | undefined> {
  const [user, system] = (await times(pid)) ?? [];
  return user === undefined || system === undefined ? undefined : user + system;
}

/** The same of all children of this process that have ended. */
export async function endedChildrenCpuSeconds(): Promise<number | undefined> {
  const [, , user, system] = (await times(process.pid)) ?? [];
  return user === undefined || system === undefined ? undefined : user + system;
}

async function times(pid: number): Promise<number[] | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The name, in parentheses, may hold anything; user and system time and those of children are fields 14 to 17.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields?.slice(11, 15).map((ticks) => Number(ticks) / TICKS_A_SECOND);
}

/** Watches how much memory a process takes beyond what it takes now. */
export interface MemoryWatch {
  /** The most bytes so far beyond those of the beginning. */
  extra(): Promise<number>;
}

/** Begins to watch a process's memory; undefined where Linux' `/proc` does not tell it. */
export async function watchMemory(pid: number): Promise<MemoryWatch | undefined> {
  const before = await residentBytes(pid, "VmRSS");
  try {
    // The kernel forgets the highest mark.
    await writeFile(`/proc/${pid}/clear_refs`, "5");
  } catch {
    return undefined;
  }
  return { extra: async () => (await residentBytes(pid, "VmHWM")) - before };
}

async function residentBytes(pid: number, field: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return KIB * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
}
