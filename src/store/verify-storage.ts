import type { Digest } from "../domain/digest.ts";
import type { BlobToVerify, DamageRecords } from "../domain/ports/damage.ts";
import type { DamagedBlob, VerifyProgress } from "../domain/ports/storage.ts";
import { systemClock } from "../lib/clock.ts";
import type { Repairs } from "./repairs.ts";
import type { Verifier } from "./verifier.ts";

/** What a check of the store works with. */
export interface VerifyTools {
  readonly damage: Pick<DamageRecords, "count" | "list">;
  readonly verifier: Pick<Verifier, "check" | "describe">;
  readonly repairs: Pick<Repairs, "start">;
}

const INTERVAL_MS = 250;
/** While more is found, what just failed is not tried again at each message. */
const REPAIR_REST_MS = 60_000;
const BLOBS_AT_ONCE = 2;
const BATCH = 200;
/** What is found waits for whoever is told of it: no more than this. */
const MOST_UNTOLD = 100;

/** Checks all of a store, or some of it; see `Storage.verify`. */
export async function* verifyStorage(
  tools: VerifyTools,
  { digests, signal }: { digests?: readonly Digest[]; signal: AbortSignal },
): AsyncGenerator<VerifyProgress> {
  const { blobs, bytes } = await tools.damage.count({ digests });
  const run = new Run(tools, blobs, bytes);
  yield run.tell();
  const stop = new AbortController();
  const working = run.work(digests, AbortSignal.any([signal, stop.signal]));
  const ended = working.then(() => true);
  try {
    while (!(await Promise.race([ended, systemClock.sleep(INTERVAL_MS, signal).then(() => false)]))) {
      yield run.tell();
      if (run.foundMore) await tools.repairs.start(REPAIR_REST_MS);
    }
  } finally {
    stop.abort();
    await working.catch(() => {});
  }
  await tools.repairs.start(0);
  yield run.end();
}

class Run {
  readonly #tools: VerifyTools;
  #totalBlobs: number;
  #totalBytes: number;
  #checkedBlobs = 0;
  #checkedBytes = 0;
  /** What was read of blobs that are not done yet. */
  readonly #underWay = new Map<Digest, number>();
  #damaged: DamagedBlob[] = [];
  #told = Promise.withResolvers<void>();
  /** Whether the last message told of damage. */
  foundMore = false;

  constructor(tools: VerifyTools, totalBlobs: number, totalBytes: number) {
    this.#tools = tools;
    this.#totalBlobs = totalBlobs;
    this.#totalBytes = totalBytes;
  }

  async work(digests: readonly Digest[] | undefined, signal: AbortSignal): Promise<void> {
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const blobs = this.#blobs(digests);
    const work = async () => {
      try {
        for await (const blob of blobs) await this.#check(blob, either);
      } catch (error) {
        failed.abort(error);
      }
    };
    await Promise.all(Array.from({ length: BLOBS_AT_ONCE }, work));
    either.throwIfAborted();
  }

  tell(): VerifyProgress {
    const damaged = this.#damaged;
    this.#damaged = [];
    this.foundMore = damaged.length > 0;
    this.#told.resolve();
    this.#told = Promise.withResolvers();
    let checkedBytes = this.#checkedBytes;
    for (const bytes of this.#underWay.values()) checkedBytes += bytes;
    return {
      checkedBlobs: this.#checkedBlobs,
      totalBlobs: Math.max(this.#totalBlobs, this.#checkedBlobs),
      checkedBytes,
      totalBytes: Math.max(this.#totalBytes, checkedBytes),
      damaged,
    };
  }

  /** The last message: blobs that came or went meanwhile are not missing from it. */
  end(): VerifyProgress {
    this.#totalBlobs = this.#checkedBlobs;
    this.#totalBytes = this.#checkedBytes;
    return this.tell();
  }

  async *#blobs(digests: readonly Digest[] | undefined): AsyncGenerator<BlobToVerify> {
    for (let after: Digest | undefined; ; ) {
      const batch = await this.#tools.damage.list({ digests }, BATCH, after);
      yield* batch;
      after = batch.at(-1)?.digest;
      if (batch.length < BATCH) return;
    }
  }

  async #check(blob: BlobToVerify, signal: AbortSignal): Promise<void> {
    const { verifier } = this.#tools;
    while (this.#damaged.length >= MOST_UNTOLD) await abortable(this.#told.promise, signal);
    signal.throwIfAborted();
    const onRead = (bytes: number) => {
      // A blob may be read twice.
      this.#underWay.set(blob.digest, Math.min(blob.size, (this.#underWay.get(blob.digest) ?? 0) + bytes));
    };
    const found = blob.damaged ? await verifier.describe(blob, true) : await verifier.check(blob, { signal, onRead });
    this.#underWay.delete(blob.digest);
    this.#checkedBlobs += 1;
    this.#checkedBytes += blob.size;
    if (found !== undefined) this.#damaged.push(found);
  }
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
