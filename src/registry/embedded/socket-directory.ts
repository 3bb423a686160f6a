import { createHash } from "node:crypto";
import { lstat, mkdir, rm, rmdir } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { DomainError } from "../../domain/errors.ts";
import { giveTo } from "./account.ts";
import type { Account } from "./launch-command.ts";

/** PostgreSQL names its socket by a port, also where it listens on none. */
export const SOCKET_PORT = 5432;

const SOCKET_NAME = `.s.PGSQL.${SOCKET_PORT}`;

/** The longest path of a unix socket that every platform takes, in bytes. */
const MAX_SOCKET_PATH = 103;

/** The path of the server's socket in a socket folder. */
export function socketPath(socketDirectory: string): string {
  return join(socketDirectory, SOCKET_NAME);
}

/**
 * Says where the server of a data folder has its socket: inside it, or under the temp folder if that path is too long.
 *
 * The answer is always the same for one data folder, so that clients find a restarted server again and nothing is left
 * behind by a crash that the next start would not use.
 *
 * @param directory the data folder, without symbolic links.
 */
export function socketDirectoryOf(directory: string): string {
  const name = `model-manager-${createHash("sha256").update(directory).digest("hex").slice(0, 16)}`;
  const places = [join(directory, "run"), join(os.tmpdir(), name)];
  return places.find((place) => Buffer.byteLength(socketPath(place)) <= MAX_SOCKET_PATH) ?? join("/tmp", name);
}

/**
 * Makes the socket folder, which only the account can enter: it is what keeps others from the database.
 *
 * @throws DomainError DATABASE_UNAVAILABLE if somebody else's folder is in its place.
 */
export async function makeSocketDirectory(path: string, account: Account): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const found = await lstat(path);
  const trusted = found.uid === account.uid || found.uid === process.getuid?.();
  if (!found.isDirectory() || !trusted || (found.mode & 0o077) !== 0) {
    throw new DomainError(
      "DATABASE_UNAVAILABLE",
      "the folder for the embedded database's socket is not private to the service's user: " +
        "remove it, use a shorter data folder, or set TMPDIR to another temp folder",
      { cause: new Error(`${path}: user ${found.uid}, mode ${(found.mode & 0o7777).toString(8)}`) },
    );
  }
  await giveTo(account, path, { recursive: true });
}

/** Removes what a server that is known to be gone left in the socket folder: its lock names a process id of long ago. */
export async function clearSocketDirectory(path: string): Promise<void> {
  await rm(socketPath(path), { force: true });
  await rm(`${socketPath(path)}.lock`, { force: true });
}

/** Removes a socket folder under the temp folder, unless a server is using it again; one inside the data folder stays. */
export async function removeSocketDirectory(path: string, directory: string): Promise<void> {
  if (path.startsWith(join(directory, "/"))) return;
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (!["ENOENT", "ENOTEMPTY", "EEXIST"].includes(error.code ?? "")) throw error;
  });
}
