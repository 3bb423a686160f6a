import { v7 as uuidv7 } from "uuid";
import type { Digest } from "../domain/digest.ts";
import { isDomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { DamageRecords } from "../domain/ports/damage.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { Repairs } from "./repairs.ts";
import type { Verifier } from "./verifier.ts";

export interface ScrubberOptions {
  readonly store: Pick<BlobStore, "emptyQuarantine">;
  readonly damage: Pick<DamageRecords, "leastRecentlyVerified" | "holdScrub">;
  readonly verifier: Pick<Verifier, "check">;
  readonly repairs: Pick<Repairs, "start">;
  readonly log: Logger;
  /** Bytes a second; absent to read nothing. */
  readonly rate?: number;
  /** Whether the store has better things to do. */
  readonly isBusy: () => boolean;
  readonly clock?: Clock;
}

const DAY_MS = 24 * 3600_000;
/** Each blob is read once in so long, if the rate allows it. */
const ROUND_MS = 14 * DAY_MS;
/** How long the operator can look at what was put aside. */
const QUARANTINE_MS = 7 * DAY_MS;
/** How long a version is left alone whose repair failed. */
const REPAIR_REST_MS = DAY_MS / 4;
const PAUSE_MS = 60_000;
const TURN_LEASE_MS = 60_000;
const KEEP_MS = 15_000;
const BUSY_MS = 1_000;
const BATCH = 50;

/**
 * Reads the whole store again, slowly and for ever, so that damage is found before somebody needs the bytes; sees that what was
 * found is repaired; and empties the quarantine. Of all processes that share a database one does it.
 */
export class Scrubber {
  readonly #options: ScrubberOptions & { readonly clock: Clock };
  readonly #owner = uuidv7();
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #keptAt = 0;
  /** How far reading is ahead of its rate. */
  #aheadMs = 0;

  constructor(options: ScrubberOptions) {
    this.#options = { clock: systemClock, ...options };
  }

  /** Begins; the first turn comes after a minute, when the service has found its feet. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** One turn: checks all that is due; does nothing if another process is at it. */
  async turn(): Promise<void> {
    const { store, repairs, rate } = this.#options;
    const turn = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, turn.signal]);
    this.#keptAt = Number.NEGATIVE_INFINITY;
    await this.#keep(turn);
    if (turn.signal.aborted) return;
    await store.emptyQuarantine(QUARANTINE_MS, false);
    await repairs.start(REPAIR_REST_MS);
    if (rate === undefined) return;
    try {
      await this.#scrub(rate, turn, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #scrub(rate: number, turn: AbortController, signal: AbortSignal): Promise<void> {
    const { damage, verifier, repairs } = this.#options;
    const passedOver = new Set<Digest>();
    for (;;) {
      const due = await damage.leastRecentlyVerified(ROUND_MS, BATCH);
      const unseen = due.filter(({ digest }) => !passedOver.has(digest));
      if (unseen.length === 0) return;
      for (const blob of unseen) {
        await this.#keep(turn);
        signal.throwIfAborted();
        // One that is not settled by this must not be the next to be due.
        passedOver.add(blob.digest);
        const found = await verifier.check(blob, { signal, onRead: (bytes) => this.#pace(bytes, rate, turn, signal) });
        if (found === undefined) passedOver.delete(blob.digest);
        else await repairs.start(REPAIR_REST_MS);
      }
    }
  }

  /** Waits until more may be read. */
  async #pace(bytes: number, rate: number, turn: AbortController, signal: AbortSignal): Promise<void> {
    const { clock, isBusy } = this.#options;
    this.#aheadMs += (bytes / rate) * 1000;
    if (this.#aheadMs >= 1) {
      const wait = this.#aheadMs;
      this.#aheadMs = 0;
      await clock.sleep(wait, signal);
    }
    while (isBusy()) {
      await this.#keep(turn);
      await clock.sleep(BUSY_MS, signal);
    }
    await this.#keep(turn);
  }

  /** Keeps the right to the work, or ends the turn. */
  async #keep(turn: AbortController): Promise<void> {
    const { clock, damage } = this.#options;
    if (clock.now() - this.#keptAt < KEEP_MS) return;
    if (await damage.holdScrub(this.#owner, TURN_LEASE_MS)) this.#keptAt = clock.now();
    else turn.abort();
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await clock.sleep(PAUSE_MS, signal);
        await this.turn();
      } catch (error) {
        if (signal.aborted) return;
        const away = isDomainError(error, "DATABASE_UNAVAILABLE") || isDomainError(error, "STORE_UNAVAILABLE");
        log[away ? "warn" : "error"]("the store cannot be checked in the background", { error });
      }
    }
  }
}
