import { mkdir, realpath } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { isMainThread } from "node:worker_threads";
import { DomainError, isDomainError } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import { chooseAccount, giveTo } from "./account.ts";
import { loadPostgresBinaries } from "./binaries.ts";
import { DATABASE, prepareCluster, SUPERUSER } from "./cluster.ts";
import { settleFormerServer } from "./former-server.ts";
import { canLock, type Launch, launchLocked, launchUnlocked } from "./launch.ts";
import { announceOwner, hasOwner } from "./owner-socket.ts";
import { type ServerExit, serverProcess } from "./server-process.ts";
import { type ServerSettings, serverArguments } from "./settings.ts";
import {
  makeSocketDirectory,
  removeSocketDirectory,
  SOCKET_PORT,
  socketDirectoryOf,
  socketPath,
} from "./socket-directory.ts";

/** Where to reach an embedded server; can be handed to `postgres()` as it is. */
export interface EmbeddedConnection {
  /** The path of the unix socket. */
  readonly path: string;
  /** The folder of the unix socket, which libpq's tools take as their host. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** A running PostgreSQL server of this process. */
export interface EmbeddedPostgres {
  readonly connection: EmbeddedConnection;
  readonly pid: number;
  /** Resolves when the server has ended, whoever ended it. */
  readonly exited: Promise<ServerExit>;
  /** Ends connections and server in good order, within seconds; resolves when they are gone. May be called again. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** A folder of its own; made if it does not exist. */
  readonly directory: string;
  readonly log: Logger;
  /** Gives the start up; a server that runs already is not concerned. */
  readonly signal?: AbortSignal;
  /** Server settings over the defaults, such as `{ fsync: "off" }` for tests. */
  readonly settings?: ServerSettings;
}

/** How long a start waits for the server of a service that was killed, which needs a moment to end: ten seconds. */
const LOCK_ATTEMPTS = 200;
const LOCK_RETRY_MS = 50;

/**
 * Starts a PostgreSQL server on a data folder, creating its cluster first if there is none, and resolves when it takes
 * connections. On Linux the server ends when this process does, however that ends.
 *
 * @throws DomainError RESOURCE_IN_USE if another process serves the folder; DATABASE_UNAVAILABLE if there is no server
 * for this platform, user or cluster, or if it does not start; the signal's reason if that fires.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  // A server that is tied to its parent ends with the thread that started it.
  if (!isMainThread) throw new DomainError("INTERNAL", "the embedded database is started from the main thread only");
  try {
    return await start(options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (isDomainError(error)) throw error;
    throw new DomainError("DATABASE_UNAVAILABLE", "the embedded database could not be started", { cause: error });
  }
}

async function start({ directory: given, log, signal, settings }: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  signal?.throwIfAborted();
  const binaries = await loadPostgresBinaries();
  await mkdir(resolve(given), { recursive: true, mode: 0o700 });
  const directory = await realpath(given);
  const cluster = join(directory, "cluster");
  const lockFile = join(directory, "lock");
  const socketDirectory = socketDirectoryOf(directory);

  const owner = await chooseAccount(directory, cluster, binaries.postgres);
  const { account } = owner;
  await giveTo(account, directory, { recursive: false });
  await giveTo(account, lockFile, { recursive: false });

  const locked = await canLock(account);
  if (!locked && process.platform === "linux") {
    log.warn(
      "util-linux's setpriv or flock is missing: the database would outlive a killed service until its next start",
    );
  }
  const serverArgs = serverArguments(cluster, socketDirectory, settings);
  const launch = locked
    ? await untilUnlocked(() => launchLocked(account, lockFile, binaries.postgres, serverArgs), socketDirectory, signal)
    : launchUnlocked(account, binaries.postgres, serverArgs);

  // Undone in the opposite order, at once if the start fails, else when the server has ended.
  await using undo = new AsyncDisposableStack();
  undo.defer(() => launch.cancel());
  await makeSocketDirectory(socketDirectory, account);
  undo.defer(() =>
    removeSocketDirectory(socketDirectory, directory).catch((error: unknown) => {
      log.warn("the folder of the database's socket could not be removed", { error });
    }),
  );
  const announcement = await announceOwner(socketDirectory);
  undo.defer(() => announcement.close());
  await settleFormerServer({ cluster, socketDirectory, account, pgCtl: binaries.pgCtl, locked, log, signal });
  await prepareCluster({ cluster, initdb: binaries.initdb, owner, locked, log, signal });

  signal?.throwIfAborted();
  const server = serverProcess(await launch.start(), log);
  undo.defer(() => server.stop());
  await server.ready(cluster, signal);

  const resources = undo.move();
  const exited = server.exited.then(async (exit) => {
    await resources.disposeAsync();
    return exit;
  });
  return {
    connection: {
      path: socketPath(socketDirectory),
      host: socketDirectory,
      port: SOCKET_PORT,
      user: SUPERUSER,
      database: DATABASE,
    },
    pid: server.pid,
    exited,
    async stop() {
      await server.stop();
      await exited;
    },
  };
}

/** Tries again while the lock is held by a server without a service; one that has a service is not waited for. */
async function untilUnlocked(
  attempt: () => Promise<Launch>,
  socketDirectory: string,
  signal?: AbortSignal,
): Promise<Launch> {
  for (let left = LOCK_ATTEMPTS; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (left <= 1 || !isDomainError(error, "RESOURCE_IN_USE") || (await hasOwner(socketDirectory))) throw error;
      await setTimeout(LOCK_RETRY_MS, undefined, { signal });
    }
  }
}
