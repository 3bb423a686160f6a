import { SourceUnavailable } from "../../domain/ports/sources.ts";

/** Breaks off a source that sends nothing for too long. Only time that is spent waiting for it counts. */
export class StallGuard {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #waiting = false;

  constructor(limitMs: number, host: string) {
    this.#timer = setTimeout(() => {
      if (!this.#waiting) return;
      const seconds = Math.round(limitMs / 1000);
      this.#controller.abort(new SourceUnavailable(`the source '${host}' sent nothing for ${seconds} s`));
    }, limitMs);
    this.#timer.unref();
  }

  /** Fires when the source is given up. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for the source; what it says after it was given up is that it was. */
  async wait<Result>(answer: () => Promise<Result>): Promise<Result> {
    this.#waiting = true;
    this.#timer.refresh();
    try {
      return await answer();
    } catch (error) {
      this.signal.throwIfAborted();
      throw error;
    } finally {
      this.#waiting = false;
    }
  }

  /** Ends the guard, and the source's answer with it. */
  close(): void {
    clearTimeout(this.#timer);
    this.#controller.abort();
  }
}
