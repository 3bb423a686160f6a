import { on } from "node:events";
import { Worker } from "node:worker_threads";
import type { Digest } from "../../domain/digest.ts";
import { DomainError } from "../../domain/errors.ts";
import { partError } from "../../domain/part-error.ts";
import type { ArchiveEntry, EntryOrder, UnpackData, UnpackNews } from "./unpack-messages.ts";

/** Decides about the entries of an archive while a thread unpacks it. */
export interface UnpackDirector {
  /** Says what is to become of an entry; what it raises ends the unpacking. */
  entry(entry: ArchiveEntry): Promise<EntryOrder>;
  /** The entry of the last order was written and synced. */
  written(digest: Digest): void;
  /** The error for an archive that breaks a rule. */
  broken(rule: string): DomainError;
}

/** Beside this file in the sources, beside the bundle once built. */
const WORKER_URL = new URL(
  import.meta.url.endsWith(".ts") ? "./unpack-worker.ts" : "./unpack-worker.js",
  import.meta.url,
);
const LIMITS = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 8 };

/**
 * Unpacks an archive in a thread of its own.
 *
 * @throws what the director raises; DISK_FULL or STORE_UNAVAILABLE; the signal's reason.
 */
export async function runUnpackThread(data: UnpackData, director: UnpackDirector, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const worker = new Worker(WORKER_URL, { workerData: data, resourceLimits: LIMITS });
  worker.unref();
  const gone = new AbortController();
  const end = () => gone.abort(signal.reason);
  signal.addEventListener("abort", end, { once: true });
  worker.once("exit", (code) => gone.abort(new Error(`the unpacking thread ended with code ${code}`)));
  try {
    for await (const [news] of on(worker, "message", { signal: gone.signal }) as AsyncIterable<[UnpackNews]>) {
      if (news.kind === "end") return;
      if (news.kind === "entry") worker.postMessage(await director.entry(news.entry));
      else if (news.kind === "written") director.written(news.digest);
      else if (news.kind === "broken") throw director.broken(news.rule);
      else throw partError(Object.assign(new Error(news.message), news.code === undefined ? {} : { code: news.code }));
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DomainError) throw error;
    throw new DomainError("INTERNAL", "unpacking failed", { cause: gone.signal.reason ?? error });
  } finally {
    signal.removeEventListener("abort", end);
    await worker.terminate();
  }
}
