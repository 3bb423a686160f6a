import type { Lease } from "../domain/ports/download-jobs.ts";
import { type Arrival, admit } from "./admit.ts";
import type { Database } from "./database.ts";

interface Waiting extends Arrival {
  readonly settle: PromiseWithResolvers<void>;
}

const MOST_TOGETHER = 64;

/**
 * Admits blobs of downloads. Those of one download that arrive while earlier ones are admitted go together next: with many small
 * files most of the time would go by in transactions.
 */
export class Admissions {
  readonly #database: Database;
  /** Who waits, by the lease whose blobs are being admitted. */
  readonly #waiting = new Map<string, Waiting[]>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** See `DownloadJobs.admit`. */
  admit(lease: Lease, arrival: Arrival): Promise<void> {
    const key = `${lease.downloadId} ${lease.epoch}`;
    const waiting: Waiting = { ...arrival, settle: Promise.withResolvers() };
    const queue = this.#waiting.get(key);
    if (queue === undefined) {
      this.#waiting.set(key, [waiting]);
      void this.#work(key, lease);
    } else queue.push(waiting);
    return waiting.settle.promise;
  }

  async #work(key: string, lease: Lease): Promise<void> {
    for (;;) {
      const batch = takeDistinct(this.#waiting.get(key) ?? []);
      if (batch.length === 0) break;
      try {
        const placed = await admit(this.#database, lease, batch);
        for (const [index, { settle }] of batch.entries()) {
          const result = placed[index];
          if (result?.status === "rejected") settle.reject(result.reason);
          else settle.resolve();
        }
      } catch (error) {
        for (const { settle } of batch) settle.reject(error);
      }
    }
    this.#waiting.delete(key);
  }
}

/** Takes those who come first out of a queue, each digest once. */
function takeDistinct(queue: Waiting[]): Waiting[] {
  const taken: Waiting[] = [];
  const digests = new Set<string>();
  for (let at = 0; at < queue.length && taken.length < MOST_TOGETHER; ) {
    const next = queue[at];
    if (next === undefined || digests.has(next.digest)) {
      at += 1;
      continue;
    }
    digests.add(next.digest);
    taken.push(next);
    queue.splice(at, 1);
  }
  return taken;
}
