import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DomainError } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import { giveTo, type ServerAccount } from "./account.ts";
import { launchCommand } from "./launch-command.ts";
import { runProgram } from "./run-program.ts";

/** The superuser of an embedded cluster, and its only role. */
export const SUPERUSER = "postgres";

/** The database that every cluster has from the start. */
export const DATABASE = "postgres";

const UNFINISHED = "initdb-";

/** What {@link prepareCluster} needs to know. */
export interface ClusterOptions {
  /** Where the cluster is or will be; its parent folder holds it alone besides unfinished ones, lock and socket. */
  readonly cluster: string;
  readonly initdb: string;
  readonly owner: ServerAccount;
  /** Whether the data folder's lock is held, and with it the tools that tie a program to its parent. */
  readonly locked: boolean;
  readonly log: Logger;
  readonly signal?: AbortSignal;
}

/**
 * Makes the cluster ready to be served: creates it if there is none yet, refuses one of another major version, and
 * removes what a killed initdb left. To be called by the holder of the data folder's lock alone.
 *
 * @throws DomainError DATABASE_UNAVAILABLE for another version's cluster, or if initdb fails.
 */
export async function prepareCluster(options: ClusterOptions): Promise<void> {
  const { cluster, owner } = options;
  const parent = dirname(cluster);
  for (const name of await readdir(parent)) {
    if (name.startsWith(UNFINISHED)) await rm(join(parent, name), { recursive: true, force: true, maxRetries: 5 });
  }
  const version = await readVersion(cluster);
  if (version === undefined) {
    await createCluster(options);
  } else if (version !== `${owner.majorVersion}`) {
    throw new DomainError(
      "DATABASE_UNAVAILABLE",
      `the data folder was made by PostgreSQL ${version}, and this service brings PostgreSQL ${owner.majorVersion}: ` +
        "move the data with the service's former release, or use an empty data folder",
    );
  } else {
    await giveTo(owner.account, cluster, { recursive: true });
  }
}

async function readVersion(cluster: string): Promise<string | undefined> {
  try {
    return (await readFile(join(cluster, "PG_VERSION"), "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const content = await readdir(cluster).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  if (content.length === 0) return undefined;
  throw new DomainError("DATABASE_UNAVAILABLE", "the data folder holds files that are not those of a database");
}

/** Lets initdb work beside the cluster's place and moves the whole there, so that a cluster is complete or absent. */
async function createCluster({ cluster, initdb, owner, locked, log, signal }: ClusterOptions): Promise<void> {
  const parent = dirname(cluster);
  const unfinished = join(parent, `${UNFINISHED}${randomUUID()}`);
  log.info("creating the embedded database");
  await mkdir(unfinished, { mode: 0o700 });
  try {
    await giveTo(owner.account, unfinished, { recursive: false });
    // Not QUIT, which initdb puts off until its step is done.
    const guard = locked ? { parentDeathSignal: "KILL" as const } : {};
    const result = await runProgram(launchCommand(owner.account, guard, initdb, initdbArguments(unfinished)), signal);
    if (result.code !== 0) {
      throw new DomainError("DATABASE_UNAVAILABLE", "the embedded database could not be created", {
        cause: new Error(`initdb ended with code ${result.code}: ${result.stderr.trim()}`),
      });
    }
    await rename(unfinished, cluster);
    await syncDirectory(parent);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true, maxRetries: 5 });
    throw error;
  }
}

/**
 * Strings sort by their bytes, the same on every machine and after every upgrade of its C library, and case and classes
 * of letters are Unicode's. Any local user counts as the superuser, since only the account gets at the socket at all.
 */
function initdbArguments(directory: string): string[] {
  return [
    `--pgdata=${directory}`,
    `--username=${SUPERUSER}`,
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
  ];
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
