import { SourceUnavailable } from "../../domain/ports/sources.ts";

/** Less in all the time that a source may stall is as good as nothing. */
const LIFE_BYTES = 4 * 1024;

/** Breaks off a source that sends next to nothing for too long. Only time that is spent waiting for it counts. */
export class StallGuard {
  readonly #controller = new AbortController();
  readonly #limitMs: number;
  readonly #about: string;
  #leftMs: number;
  #trickled = 0;

  /** `about` names the file and the source in the message of its error. */
  constructor(limitMs: number, about: string) {
    this.#limitMs = limitMs;
    this.#leftMs = limitMs;
    this.#about = about;
  }

  /** Fires when the source is given up. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for the source; what it says after it was given up is that it was. */
  async wait<Result>(answer: () => Promise<Result>): Promise<Result> {
    const since = performance.now();
    const timer = setTimeout(() => this.#giveUp(), Math.max(1, this.#leftMs));
    try {
      return await answer();
    } catch (error) {
      this.signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#leftMs -= performance.now() - since;
    }
  }

  /** The source sent so many bytes. */
  took(bytes: number): void {
    this.#trickled += bytes;
    if (this.#trickled < LIFE_BYTES) return;
    this.#trickled = 0;
    this.#leftMs = this.#limitMs;
  }

  /** Ends the source's answer. */
  close(): void {
    this.#controller.abort();
  }

  #giveUp(): void {
    const seconds = Math.round(this.#limitMs / 1000);
    this.#controller.abort(new SourceUnavailable(`${this.#about} sent nothing or next to nothing for ${seconds} s`));
  }
}
