import type { Progress } from "../../domain/download.ts";
import type { Clock } from "../../lib/clock.ts";
import type { ProgressSource } from "./progress-source.ts";

/** The least and the most time between two messages to one watcher. */
const MIN_GAP_MS = 100;
const MAX_GAP_MS = 4_500;
/** A timer may come a little early. */
const TIMER_SLACK_MS = 5;

/** One reader of a download's progress. */
export interface Watcher {
  /** The sequence of its last message; undefined before the first, and when all files are due again. */
  seen: number | undefined;
  sentAt: number;
  /** A message waits for the reader to come back; and another one was due while it waited. */
  pending: boolean;
  skipped: boolean;
  /** Whether the terminal message was sent. */
  finished: boolean;
  /** Set while the reader waits. */
  wake: (() => void) | undefined;
}

/** Tells the progress of one download to its watchers: each pulls, at its own pace, and nothing is kept for who does not. */
export class Channel {
  readonly watchers = new Set<Watcher>();
  readonly #clock: Clock;
  #source: ProgressSource;
  #failure: unknown;
  /** Messages of this moment by the sequence they begin after, so that watchers in step share them. */
  readonly #messages = new Map<number | undefined, Progress>();
  #messagesOf: number | undefined;

  constructor(source: ProgressSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  get source(): ProgressSource {
    return this.#source;
  }

  /** Goes on with another source; every watcher gets all files next. */
  replace(source: ProgressSource): void {
    this.#source = source;
    this.#messages.clear();
    for (const watcher of this.watchers) watcher.seen = undefined;
  }

  /** Ends all watchers with an error. */
  fail(error: unknown): void {
    this.#failure = error;
    for (const watcher of this.watchers) watcher.wake?.();
  }

  join(): Watcher {
    const watcher: Watcher = {
      seen: undefined,
      sentAt: Number.NEGATIVE_INFINITY,
      pending: false,
      skipped: false,
      finished: false,
      wake: undefined,
    };
    this.watchers.add(watcher);
    return watcher;
  }

  /** The next message for a watcher, as soon as one is due; undefined once it was told the end or `signal` fired. */
  async next(watcher: Watcher, signal: AbortSignal): Promise<Progress | undefined> {
    while (!watcher.finished && !signal.aborted) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isDue(watcher)) return this.#message(watcher);
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      watcher.wake = wake;
      signal.addEventListener("abort", wake, { once: true });
      await promise;
      signal.removeEventListener("abort", wake);
      watcher.wake = undefined;
    }
    return undefined;
  }

  /** To be called ten times a second while somebody watches. */
  tick(): void {
    this.#messages.clear();
    for (const watcher of this.watchers) {
      if (!this.#isDue(watcher)) continue;
      if (watcher.wake !== undefined) watcher.wake();
      else if (watcher.pending) watcher.skipped = true;
      else watcher.pending = true;
    }
  }

  #isDue({ seen, sentAt }: Watcher): boolean {
    const gap = this.#clock.now() - sentAt + TIMER_SLACK_MS;
    return gap >= (seen === this.#source.sequence ? MAX_GAP_MS : MIN_GAP_MS);
  }

  #message(watcher: Watcher): Progress {
    const since = watcher.skipped ? undefined : watcher.seen;
    if (this.#messagesOf !== this.#source.sequence) this.#messages.clear();
    this.#messagesOf = this.#source.sequence;
    const message = this.#messages.get(since) ?? this.#source.snapshot(since);
    this.#messages.set(since, message);
    watcher.seen = this.#source.sequence;
    watcher.sentAt = this.#clock.now();
    watcher.pending = watcher.skipped = false;
    watcher.finished = this.#source.ended;
    return message;
  }
}
