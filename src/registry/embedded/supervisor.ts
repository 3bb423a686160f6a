import { setTimeout } from "node:timers/promises";
import {
  type EmbeddedConnection,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from "./server.ts";

/** Whether the embedded database runs; `restarting` from its unexpected end until it takes connections again. */
export type SupervisorState = "running" | "restarting" | "stopped";

/** An embedded server that comes back after it ended unexpectedly, on the same socket. */
export interface PostgresSupervisor {
  /** The same for all its life: clients need only connect again. */
  readonly connection: EmbeddedConnection;
  readonly state: SupervisorState;
  /** The server's process; undefined unless it runs. */
  readonly pid: number | undefined;
  /** Ends the server, or the attempt to start it again; resolves when nothing is left. May be called again. */
  stop(): Promise<void>;
}

export interface SupervisorOptions extends EmbeddedPostgresOptions {
  /** Called after each change of the state. */
  readonly onStateChange?: (state: SupervisorState) => void;
}

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;

/** A server that ran this long starts again with the first delay. */
const STABLE_AFTER_MS = 60_000;

/**
 * Starts an embedded server and keeps it running until told to stop.
 *
 * @throws what {@link startEmbeddedPostgres} throws, for the first start alone; later ones are logged and tried again,
 * with delays that double from 0.1 to 10 seconds.
 */
export async function superviseEmbeddedPostgres(options: SupervisorOptions): Promise<PostgresSupervisor> {
  const { log, onStateChange } = options;
  const stopped = new AbortController();
  let server: EmbeddedPostgres | undefined = await startEmbeddedPostgres(options);
  let state: SupervisorState = "running";
  const { connection } = server;

  function enter(next: SupervisorState): void {
    state = next;
    onStateChange?.(next);
  }

  async function supervise(running: EmbeddedPostgres): Promise<void> {
    let delay = FIRST_DELAY_MS;
    for (let current = running; ; ) {
      const since = performance.now();
      const exit = await current.exited;
      if (stopped.signal.aborted) return;
      server = undefined;
      log.error("the embedded database ended unexpectedly: starting it again", { ...exit, server_pid: current.pid });
      enter("restarting");
      if (performance.now() - since >= STABLE_AFTER_MS) delay = FIRST_DELAY_MS;
      for (;;) {
        await setTimeout(delay, undefined, { signal: stopped.signal });
        delay = Math.min(delay * 2, LONGEST_DELAY_MS);
        try {
          current = await startEmbeddedPostgres({ ...options, signal: stopped.signal });
          break;
        } catch (error) {
          stopped.signal.throwIfAborted();
          log.error("the embedded database did not start again", { error, retry_in_ms: delay });
        }
      }
      if (stopped.signal.aborted) return await current.stop();
      server = current;
      log.info("the embedded database runs again", { server_pid: current.pid });
      enter("running");
    }
  }

  const supervision = supervise(server).catch((error) => {
    if (!stopped.signal.aborted) throw error;
  });
  let stopping: Promise<void> | undefined;
  async function end(): Promise<void> {
    stopped.abort();
    await server?.stop();
    await supervision;
    enter("stopped");
  }

  return {
    connection,
    get state() {
      return state;
    },
    get pid() {
      return server?.pid;
    },
    stop() {
      stopping ??= end();
      return stopping;
    },
  };
}
