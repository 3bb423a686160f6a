import { readFile } from "node:fs/promises";

/** The running boot of this machine, or empty where the system does not tell. */
export async function readBootId(): Promise<string> {
  try {
    return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  } catch {
    return "";
  }
}
