import type { SpawnOptions } from "node:child_process";

/** Who the database's programs run as, and how they get there. PostgreSQL refuses to run as root. */
export interface Account {
  /** For messages: a user's name, or its number where that is all that is known. */
  readonly name: string;
  /** The user that owns the database's files, as this process sees it. */
  readonly uid: number;
  readonly gid: number;
  /** Whether the programs see themselves as `nobody` in a user namespace, while the kernel still sees `uid`. */
  readonly namespace: boolean;
}

/** A program with its arguments and what `spawn` needs to run it as an {@link Account}. */
export interface LaunchCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly options: SpawnOptions;
}

/** What surrounds a program on its way up; every part execs the next, so that the process id stays the program's. */
export interface LaunchGuard {
  /** What the program gets when the thread that started it ends, however that ends. */
  readonly parentDeathSignal?: "QUIT" | "KILL";
  /** A file that the program and all its children hold locked for as long as one of them lives. */
  readonly lockFile?: string;
}

/** The exit code that says that another process holds the lock; PostgreSQL itself never ends with it. */
export const LOCK_CONFLICT_EXIT_CODE = 75;

/** The user and group `nobody`: initdb wants a user that has an entry in the password file. */
const NOBODY = 65534;

/**
 * Builds the command that runs `program` as `account` behind `guard`.
 *
 * The order matters: a change of user or namespace clears the parent death signal, so it comes first, and `flock` comes
 * last, so that its descriptor is inherited by the program alone.
 */
export function launchCommand(
  account: Account,
  guard: LaunchGuard,
  program: string,
  args: readonly string[],
): LaunchCommand {
  const words: string[] = [];
  if (account.namespace) words.push("unshare", "--user", `--map-user=${NOBODY}`, `--map-group=${NOBODY}`);
  if (guard.parentDeathSignal !== undefined) words.push("setpriv", "--pdeathsig", guard.parentDeathSignal);
  if (guard.lockFile !== undefined) {
    words.push("flock", "--no-fork", "--nonblock", "--conflict-exit-code", `${LOCK_CONFLICT_EXIT_CODE}`);
    words.push(guard.lockFile);
  }
  const [command = program, ...rest] = [...words, program, ...args];
  const change = !account.namespace && account.uid !== process.getuid?.();
  return {
    command,
    args: rest,
    // The account may not be able to enter the service's working folder, and needs none of its secrets.
    options: { cwd: "/", env: programEnvironment(), ...(change && { uid: account.uid, gid: account.gid }) },
  };
}

function programEnvironment(): NodeJS.ProcessEnv {
  const { PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", LD_LIBRARY_PATH } = process.env;
  return { PATH, LC_ALL: "C", TZ: "UTC", ...(LD_LIBRARY_PATH !== undefined && { LD_LIBRARY_PATH }) };
}
