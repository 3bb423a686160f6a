import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";

/** What a running server writes of itself into its data folder. */
export interface PostmasterFile {
  readonly pid: number;
  /** The path of the unix socket that it listens on. */
  readonly socket: string;
  readonly status: "starting" | "ready" | "stopping" | "unknown";
}

const FILE = "postmaster.pid";
const STATUSES = ["starting", "ready", "stopping"] as const;

/** Reads `postmaster.pid` of a cluster; undefined if there is none. */
export async function readPostmasterFile(cluster: string): Promise<PostmasterFile | undefined> {
  let content: string;
  try {
    content = await readFile(join(cluster, FILE), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const lines = content.split("\n").map((line) => line.trim());
  return {
    pid: Math.abs(Number.parseInt(lines[0] ?? "", 10)),
    socket: `${lines[4] ?? ""}/.s.PGSQL.${lines[3] ?? ""}`,
    status: STATUSES.find((status) => status === lines[7]) ?? "unknown",
  };
}

/** Removes `postmaster.pid` of a server that is known to be gone. */
export async function removePostmasterFile(cluster: string): Promise<void> {
  await rm(join(cluster, FILE), { force: true });
}
