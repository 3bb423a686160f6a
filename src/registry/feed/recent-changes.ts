import type { Change } from "../../domain/ports/feeds.ts";

/** The newest changes of the feed, one after the other: kept once for all who follow, however many they are. */
export class RecentChanges {
  readonly #capacity: number;
  #changes: Change[] = [];
  #start: number;

  /** Begins after a sequence, and keeps the last `capacity` changes, or up to twice as many. */
  constructor(start: number, capacity: number) {
    this.#start = start;
    this.#capacity = capacity;
  }

  /** The sequence of the newest one. */
  get end(): number {
    return this.#start + this.#changes.length;
  }

  /** Whether what comes after a sequence is here, or will be. */
  covers(sequence: number): boolean {
    return sequence >= this.#start;
  }

  /** The change after a sequence that is covered; undefined if it is not there yet. */
  after(sequence: number): Change | undefined {
    return this.#changes[sequence - this.#start];
  }

  /** Adds what follows the end. */
  append(changes: readonly Change[]): void {
    this.#changes.push(...changes);
    const surplus = this.#changes.length - this.#capacity;
    if (surplus < this.#capacity) return;
    this.#changes = this.#changes.slice(surplus);
    this.#start += surplus;
  }
}
