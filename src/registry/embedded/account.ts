import { lchown, lstat, readdir, stat } from "node:fs/promises";
import os from "node:os";
import { dirname, join } from "node:path";
import { DomainError } from "../../domain/errors.ts";
import { type Account, launchCommand } from "./launch-command.ts";
import { runProgram } from "./run-program.ts";

/** An account that was seen to run the server program, and the major version that the program has. */
export interface ServerAccount {
  readonly account: Account;
  readonly majorVersion: number;
}

/**
 * Chooses who the database runs as: this process's own user, or for root one that PostgreSQL accepts.
 *
 * Root prefers a user namespace, since there the files stay root's and any folder can be reached; where namespaces are
 * not allowed it drops to `postgres` or `nobody`. A cluster that belongs to another user already is run by its owner.
 *
 * @throws DomainError DATABASE_UNAVAILABLE if no account can reach both the folder and the server program.
 */
export async function chooseAccount(directory: string, cluster: string, postgres: string): Promise<ServerAccount> {
  const failures: string[] = [];
  for await (const account of candidates(cluster)) {
    // What is tried is what will be needed: entering the way to the folder, and loading the program and its libraries.
    const script = 'cd -- "$1" && exec "$2" -V';
    const launch = launchCommand(account, {}, "sh", ["-c", script, "sh", dirname(directory), postgres]);
    const { stdout, stderr } = await runProgram(launch).catch((error: Error) => ({
      stdout: "",
      stderr: error.message,
    }));
    const version = /\(PostgreSQL\) (\d+)/.exec(stdout)?.[1];
    if (version !== undefined) return { account, majorVersion: Number(version) };
    failures.push(`as ${account.name}: ${stderr.trim() || "no answer"}`);
  }
  const remedy =
    process.getuid?.() === 0
      ? "PostgreSQL does not run as root, and no other user can both reach the data folder and run its programs: " +
        "run the service as an ordinary user, put the data and the program into folders that every user may enter, " +
        "or set DATABASE_URL to a PostgreSQL server"
      : "the programs of the embedded PostgreSQL do not run on this machine: set DATABASE_URL to a PostgreSQL server";
  throw new DomainError("DATABASE_UNAVAILABLE", remedy, { cause: new Error(failures.join("; ")) });
}

async function* candidates(cluster: string): AsyncGenerator<Account> {
  const uid = process.getuid?.() ?? 0;
  const own = { name: ownName() ?? `${uid}`, uid, gid: process.getgid?.() ?? 0, namespace: false };
  const inNamespace = { ...own, namespace: true };
  if (uid !== 0) {
    // initdb refuses a user without an entry in the password file, which is how many containers run.
    if (ownName() === undefined && process.platform === "linux") yield inNamespace;
    yield own;
    return;
  }
  const owner = await stat(cluster).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) {
    yield { name: `${owner.uid}`, uid: owner.uid, gid: owner.gid, namespace: false };
    return;
  }
  if (process.platform === "linux") yield inNamespace;
  for (const name of ["postgres", "nobody"]) {
    const [user, group] = await Promise.all([lookUp("-u", name), lookUp("-g", name)]);
    if (user && group) yield { name, uid: user, gid: group, namespace: false };
  }
}

function ownName(): string | undefined {
  try {
    return os.userInfo().username;
  } catch {
    return undefined;
  }
}

async function lookUp(what: "-u" | "-g", name: string): Promise<number | undefined> {
  const root = { name: "root", uid: 0, gid: 0, namespace: false };
  const result = await runProgram(launchCommand(root, {}, "id", [what, name])).catch(() => undefined);
  return result?.code === 0 ? Number.parseInt(result.stdout, 10) : undefined;
}

/** Gives `path`, and with `recursive` all below it, to the account; does nothing unless this process is root. */
export async function giveTo(account: Account, path: string, options: { recursive: boolean }): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const entry = await lstat(path).catch(() => undefined);
  if (entry === undefined || entry.uid === account.uid) return;
  if (options.recursive && entry.isDirectory()) {
    for (const name of await readdir(path)) await giveTo(account, join(path, name), options);
  }
  // The top goes last: if this is cut short, the next start sees the old owner and does it again.
  await lchown(path, account.uid, account.gid);
}
