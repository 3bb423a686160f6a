import type postgres from "postgres";
import type { Logger } from "../../domain/logger.ts";
import { type ConnectionTarget, connect } from "../database.ts";
import { EVENTS_CHANNEL } from "../notifier.ts";

/** Hears, on a connection of its own, when the feed has grown. The driver makes the connection again when it ends. */
export class Listener {
  readonly #target: ConnectionTarget;
  readonly #onNotice: () => void;
  readonly #log: Logger;
  #client: postgres.Sql | undefined;

  /** `target` must lead past any pooler: those that share connections do not pass notices on. */
  constructor(target: ConnectionTarget, onNotice: () => void, log: Logger) {
    this.#target = target;
    this.#onNotice = onNotice;
    this.#log = log;
  }

  /** Begins to listen, if it does not yet; when it cannot, the next call tries again. */
  start(): void {
    if (this.#client !== undefined) return;
    const client = connect(this.#target, { max: 1, connection: { application_name: "model-manager listener" } });
    this.#client = client;
    // It may have grown while nobody listened.
    client.listen(EVENTS_CHANNEL, this.#onNotice, this.#onNotice).catch((error: unknown) => {
      this.#log.debug("notices of new events cannot be heard", { error });
      if (this.#client === client) void this.stop();
    });
  }

  /** Ends the connection, also one that no longer answers. */
  async stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end({ timeout: 1 }).catch(() => {});
  }
}
