import { isDomainError } from "../domain/errors.ts";
import type { Worker } from "../domain/worker.ts";
import type { Database } from "./database.ts";
import { type Beat, writeBeats } from "./heartbeat-batch.ts";

interface Waiting {
  readonly beat: Beat;
  readonly resolve: (worker: Worker) => void;
  readonly reject: (error: unknown) => void;
}

const MAX_BATCH = 500;

/**
 * Writes heartbeats in batches: what comes while a batch is being written makes the next one, and each is answered after
 * its batch is committed. There is one writer, since two would lock the same rows in different orders.
 */
export class Heartbeats {
  readonly #database: Database;
  readonly #leaseMs: number;
  #waiting: Waiting[] = [];
  #running = false;

  constructor(database: Database, leaseMs: number) {
    this.#database = database;
    this.#leaseMs = leaseMs;
  }

  /** The worker as it is after its heartbeat; WORKER_NOT_FOUND, SESSION_STALE. */
  write(beat: Beat): Promise<Worker> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ beat, resolve, reject });
      if (this.#running) return;
      this.#running = true;
      // A turn of the event loop later, those that came with this one are there too.
      setImmediate(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#flush(this.#takeBatch());
    this.#running = false;
  }

  /** The oldest that wait, at most one of each worker: a second one has to see what the first did. */
  #takeBatch(): Waiting[] {
    const batch = new Map<string, Waiting>();
    const later: Waiting[] = [];
    for (const waiting of this.#waiting) {
      const id = waiting.beat.workerId.toLowerCase();
      if (batch.size < MAX_BATCH && !batch.has(id)) batch.set(id, waiting);
      else later.push(waiting);
    }
    this.#waiting = later;
    return [...batch.values()];
  }

  async #flush(batch: readonly Waiting[]): Promise<void> {
    try {
      const beats = batch.map(({ beat }) => beat);
      const outcomes = await writeBeats(this.#database, this.#leaseMs, beats);
      for (const [index, { resolve, reject }] of batch.entries()) {
        const outcome = outcomes[index];
        if (outcome === undefined || outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      }
    } catch (error) {
      if (isDomainError(error, "DATABASE_UNAVAILABLE")) {
        // Those behind would wait as long again, one batch after the other.
        const behind = this.#waiting.splice(0);
        for (const { reject } of [...batch, ...behind]) reject(error);
      } else if (batch.length === 1) {
        batch[0]?.reject(error);
      } else {
        // One that cannot be written must not take the others with it; halves find it in few steps.
        const middle = batch.length >> 1;
        await this.#flush(batch.slice(0, middle));
        await this.#flush(batch.slice(middle));
      }
    }
  }
}
