import { DomainError } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import type { Change } from "../../domain/ports/feeds.ts";
import type { ConnectionTarget, Database } from "../database.ts";
import { Listener } from "./listener.ts";
import { CHANGES_PAGE, readChanges } from "./read-changes.ts";
import { RecentChanges } from "./recent-changes.ts";

const POLL_MS = 1000;

/** Where a watch is in the feed. */
export interface Follower {
  /** The next change; undefined if none came within `waitMs`. WATCHER_TOO_SLOW, or the signal's reason. */
  next(waitMs: number, signal: AbortSignal): Promise<Change | undefined>;
  /** Must be called at the end. */
  leave(): void;
}

/**
 * The end of the feed, read once by this process for all its watches: when a notice says that it has grown, and every
 * second, since notices may be lost. It reads only while somebody follows.
 */
export class Tail {
  readonly #database: Database;
  readonly #log: Logger;
  readonly #capacity: number;
  readonly #listener: Listener;
  readonly #waiting = new Set<() => void>();
  #recent: RecentChanges | undefined;
  #running: Promise<void> = Promise.resolve();
  #followers = 0;
  #noticed = false;
  #wake = () => {};
  #closed = false;

  constructor(database: Database, options: { direct: ConnectionTarget; log: Logger; capacity: number }) {
    this.#database = database;
    this.#log = options.log;
    this.#capacity = options.capacity;
    this.#listener = new Listener(options.direct, () => this.#onNotice(), options.log);
  }

  /**
   * Follows from a sequence on; undefined if what comes after it has to be read from the database first. Who has read all
   * that is there says `atEnd`.
   */
  follow(sequence: number, atEnd: boolean): Follower | undefined {
    if (this.#recent === undefined) {
      if (!atEnd || this.#closed) return undefined;
      this.#recent = new RecentChanges(sequence, this.#capacity);
      this.#followers += 1;
      this.#running = this.#run();
    } else {
      if (!this.#recent.covers(sequence)) return undefined;
      this.#followers += 1;
    }
    return this.#follower(sequence);
  }

  /** Ends the reading; who still follows hears nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    await this.#running;
  }

  #follower(start: number): Follower {
    let sequence = start;
    const take = () => {
      if (this.#recent?.covers(sequence) === false) throw tooSlow(sequence);
      const change = this.#recent?.after(sequence);
      if (change !== undefined) sequence = change.sequence;
      return change;
    };
    return {
      next: async (waitMs, signal) => {
        signal.throwIfAborted();
        const change = take();
        if (change !== undefined) return change;
        await this.#growth(waitMs, signal);
        return take();
      },
      leave: () => {
        this.#followers -= 1;
        if (this.#followers === 0) this.#wake();
      },
    };
  }

  /** Resolves when something was added, or after a while; each waits by itself, since a shared promise would keep them all. */
  async #growth(waitMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    const timer = setTimeout(resolve, waitMs);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#waiting.add(resolve);
    try {
      await promise;
    } finally {
      this.#waiting.delete(resolve);
      signal.removeEventListener("abort", onAbort);
      clearTimeout(timer);
    }
  }

  #onNotice(): void {
    this.#noticed = true;
    this.#wake();
  }

  async #run(): Promise<void> {
    let failing = false;
    // What a poll found without a notice, whose notice is to come within the next turn.
    let unannounced = false;
    while (this.#followers > 0 && !this.#closed) {
      this.#listener.start();
      const noticed = this.#noticed;
      this.#noticed = false;
      try {
        const grown = await this.#read();
        if (failing) this.#log.info("the feed of changes is read again");
        failing = false;
        if (unannounced && !noticed && grown) {
          this.#log.debug("notices of new events do not come: the connection is made again");
          void this.#listener.stop();
        }
        unannounced = grown && !noticed && !this.#noticed;
      } catch (error) {
        if (!failing) this.#log.warn("the feed of changes cannot be read", { error });
        failing = true;
      }
      if (!this.#noticed) await this.#pause();
    }
    // In the same turn as the last look, so that nobody joins what no longer runs.
    this.#recent = undefined;
    await this.#listener.stop();
  }

  /** Reads to the end; answers whether there was anything new. */
  async #read(): Promise<boolean> {
    for (let grown = false; ; grown = true) {
      const recent = this.#recent;
      if (recent === undefined) return grown;
      const { changes, current, outOfRange } = await readChanges(this.#database, recent.end);
      // After a long standstill: those who follow are all too far behind.
      if (outOfRange && current > recent.end) this.#recent = new RecentChanges(current, this.#capacity);
      else if (!outOfRange) recent.append(changes);
      if (changes.length > 0 || outOfRange) for (const wake of [...this.#waiting]) wake();
      if (changes.length < CHANGES_PAGE) return grown || changes.length > 0;
    }
  }

  async #pause(): Promise<void> {
    if (this.#followers === 0 || this.#closed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, POLL_MS);
    await promise;
    clearTimeout(timer);
  }
}

function tooSlow(sequence: number): DomainError {
  return new DomainError(
    "WATCHER_TOO_SLOW",
    `events came faster than they were taken: watch again, after ${sequence}`,
    {
      metadata: { sequence: String(sequence) },
    },
  );
}
