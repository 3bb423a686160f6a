/** The most connections of one file. */
export const MAX_CONNECTIONS = 32;

const FACTOR = 4;
/** More connections must bring so much more to be kept. */
const GAIN = 1.15;
/** Samples that are passed over after a change, while new connections begin. */
const SETTLING = 1;
/** Samples that are taken together: many sources send in bursts. */
const MEASURED = 2;
/** Samples after which it is tried again whether more would help. */
const PATIENCE = 30;
/** A thread that is busy for this share of the time gains nothing by more connections. */
const SATURATED = 0.9;

/** What one sample of a file's connections saw. */
export interface ClimbSample {
  /** Bytes a millisecond. */
  readonly speed: number;
  /** How many there were. */
  readonly connections: number;
  /** The share of the time that the receiving thread was busy. */
  readonly busy: number;
}

/**
 * Finds how many connections are worth having: starts with few and climbs while the speed rises. To be given a sample every
 * tenth of a second or so.
 */
export class Climb {
  #wanted: number;
  /** What was good before the present trial, and how fast that was. */
  #proven: { wanted: number; speed: number } | undefined;
  #passed = 0;
  #seen = 0;
  #resting = 0;

  /** Begins with so many, at least 1. */
  constructor(first: number) {
    this.#wanted = Math.min(MAX_CONNECTIONS, Math.max(1, first));
  }

  /** How many connections there should be. */
  get wanted(): number {
    return this.#wanted;
  }

  sample({ speed, connections, busy }: ClimbSample): void {
    if (this.#resting > 0) {
      this.#resting -= 1;
      return;
    }
    // Until they are there, or if no more can be had, nothing can be said of them.
    if (connections < this.#wanted || (speed === 0 && this.#passed === 0)) return;
    this.#passed += 1;
    if (this.#passed <= SETTLING) return;
    this.#seen += speed;
    if (this.#passed < SETTLING + MEASURED) return;
    const measured = this.#seen / MEASURED;
    this.#passed = 0;
    this.#seen = 0;
    const { wanted: before, speed: speedBefore } = this.#proven ?? { wanted: this.#wanted, speed: 0 };
    if (measured > speedBefore * GAIN) {
      this.#proven = { wanted: this.#wanted, speed: measured };
      if (busy < SATURATED) this.#wanted = Math.min(MAX_CONNECTIONS, this.#wanted * FACTOR);
      if (this.#wanted === this.#proven.wanted) this.#rest();
    } else {
      this.#wanted = before;
      this.#rest();
    }
  }

  /** More than so many cannot be had for now. */
  limit(connections: number): void {
    this.#wanted = Math.max(1, Math.min(this.#wanted, connections));
    this.#rest();
  }

  /** Stays, and finds out anew some time later: by then the speed may be another. */
  #rest(): void {
    this.#resting = PATIENCE;
    this.#passed = 0;
    this.#seen = 0;
    this.#proven = undefined;
  }
}
