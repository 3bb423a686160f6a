import type { Logger } from "../domain/logger.ts";

/** The channel on which processes tell each other that the feed of changes has grown. */
export const EVENTS_CHANNEL = "model_manager_events";

/**
 * Tells other processes that there are new events. The word is empty and goes out after the commit, one for all commits
 * since the last; it may be lost, so that listeners look for themselves now and then.
 */
export class Notifier {
  readonly #send: () => Promise<unknown>;
  readonly #log: Logger;
  #running: Promise<void> | undefined;
  #wanted = false;
  #closed = false;

  constructor(send: () => Promise<unknown>, log: Logger) {
    this.#send = send;
    this.#log = log;
  }

  /** To be called after each commit that wrote events. */
  notify(): void {
    this.#wanted = true;
    if (this.#closed) return;
    this.#running ??= this.#run();
  }

  /** Resolves when nothing more will be sent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#wanted) {
      this.#wanted = false;
      try {
        await this.#send();
      } catch (error) {
        this.#log.debug("a notice of new events was not sent", { error });
      }
    }
    // In the same turn as the last look, so that nobody's wish falls in between.
    this.#running = undefined;
  }
}
