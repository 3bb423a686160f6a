import { DomainError } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import { type Account, launchCommand } from "./launch-command.ts";
import { answers } from "./owner-socket.ts";
import { readPostmasterFile, removePostmasterFile } from "./postmaster-file.ts";
import { runProgram } from "./run-program.ts";
import { clearSocketDirectory } from "./socket-directory.ts";

/** What {@link settleFormerServer} needs to know. */
export interface FormerServerOptions {
  readonly cluster: string;
  readonly socketDirectory: string;
  readonly account: Account;
  readonly pgCtl: string;
  /** Whether the data folder's lock is held, which proves that no locked server and none of its children lives. */
  readonly locked: boolean;
  readonly log: Logger;
  readonly signal?: AbortSignal;
}

/**
 * Deals with the last server of a cluster that no living service owns: one that outlived its service is stopped, never adopted, since its
 * settings and its program may be another release's; of one that is gone the stale files are removed.
 *
 * @throws DomainError DATABASE_UNAVAILABLE if the old server does not stop.
 */
export async function settleFormerServer(options: FormerServerOptions): Promise<void> {
  const { cluster, socketDirectory, account, pgCtl, locked, log, signal } = options;
  const former = await readPostmasterFile(cluster);
  if (former !== undefined && (await answers(former.socket))) {
    log.warn("stopping a database server that outlived its service", { server_pid: former.pid });
    const args = ["stop", "-D", cluster, "-m", "fast", "-w", "-t", "30"];
    const result = await runProgram(launchCommand(account, {}, pgCtl, args), signal);
    if (result.code !== 0) {
      throw new DomainError("DATABASE_UNAVAILABLE", "a former server of this data folder does not stop", {
        cause: new Error(`pg_ctl ended with code ${result.code}: ${result.stderr.trim()}`),
      });
    }
  }
  // Without the lock this is PostgreSQL's own to decide: it looks for the old server's children too.
  if (!locked) return;
  await removePostmasterFile(cluster);
  await clearSocketDirectory(socketDirectory);
}
