import type { FileHandle } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type Digest, digestOfHex } from "../domain/digest.ts";
import { DomainError } from "../domain/errors.ts";
import type { VerifyOptions } from "../domain/ports/blob-store.ts";

/** What the main thread asks of a hashing thread: to go on with an open file, or to forget it. */
export type HashRequest =
  | { readonly file: number; readonly fd: number }
  | { readonly file: number; readonly drop: true };

/** What a step read, with the hash at the end of the file; or why it could not. */
export type HashReply =
  | { readonly file: number; readonly bytes: number; readonly hex?: string }
  | { readonly file: number; readonly code: string; readonly message: string };

/** Beside this file in the sources, beside the bundle once built. */
const WORKER_URL = new URL(
  import.meta.url.endsWith(".ts") ? "./file-hash-worker.ts" : "./file-hash-worker.js",
  import.meta.url,
);
const HASH_THREADS = Math.min(2, availableParallelism());
/** Starting a thread costs more than hashing a small file. */
const IDLE_MS = 2_000;

/** Hashes files off the main thread. Its threads start when they are needed and end by themselves. */
export class FileHasher {
  readonly #threads: (HashThread | undefined)[] = Array.from({ length: HASH_THREADS }, () => undefined);
  #files = 0;

  /**
   * Reads an open file to its end.
   *
   * @throws the system's error of a read that failed, with its `code`; the signal's reason.
   */
  async digestOf(handle: FileHandle, { signal, onRead }: VerifyOptions): Promise<{ digest: Digest; size: number }> {
    const thread = this.#leastBusy();
    const file = ++this.#files;
    let size = 0;
    thread.files.add(file);
    try {
      for (;;) {
        signal.throwIfAborted();
        const { bytes, hex } = await thread.step(file, handle.fd);
        size += bytes;
        await onRead?.(bytes);
        if (hex !== undefined) return { digest: digestOfHex(hex), size };
      }
    } finally {
      thread.leave(file);
    }
  }

  #leastBusy(): HashThread {
    const load = (thread: HashThread | undefined) => (thread?.alive ? thread.files.size : 0);
    let chosen = 0;
    for (const [index, thread] of this.#threads.entries()) {
      if (load(thread) < load(this.#threads[chosen])) chosen = index;
    }
    const usable = this.#threads[chosen];
    const thread = usable?.alive ? usable : new HashThread();
    this.#threads[chosen] = thread;
    return thread;
  }
}

interface Step {
  readonly bytes: number;
  readonly hex?: string;
}

class HashThread {
  /** The files under way. */
  readonly files = new Set<number>();
  alive = true;
  readonly #worker = new Worker(WORKER_URL, {
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
  });
  readonly #waiting = new Map<number, { resolve(step: Step): void; reject(error: unknown): void }>();
  #idle: NodeJS.Timeout | undefined;

  constructor() {
    this.#worker.unref();
    this.#worker.on("message", (reply: HashReply) => this.#settle(reply));
    this.#worker.on("error", (error) => this.#end(error));
    this.#worker.on("exit", (code) => this.#end(new Error(`the thread ended with code ${code}`)));
  }

  step(file: number, fd: number): Promise<Step> {
    clearTimeout(this.#idle);
    if (!this.alive) return Promise.reject(hashingFailed());
    const { promise, resolve, reject } = Promise.withResolvers<Step>();
    this.#waiting.set(file, { resolve, reject });
    this.#worker.postMessage({ file, fd } satisfies HashRequest);
    return promise;
  }

  leave(file: number): void {
    this.files.delete(file);
    if (!this.alive) return;
    this.#worker.postMessage({ file, drop: true } satisfies HashRequest);
    if (this.files.size > 0) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.files.size > 0) return;
      this.alive = false;
      void this.#worker.terminate();
    }, IDLE_MS);
    this.#idle.unref();
  }

  #settle(reply: HashReply): void {
    const waiting = this.#waiting.get(reply.file);
    this.#waiting.delete(reply.file);
    if ("code" in reply) waiting?.reject(Object.assign(new Error(reply.message), { code: reply.code }));
    else waiting?.resolve(reply);
  }

  #end(cause: unknown): void {
    this.alive = false;
    for (const { reject } of this.#waiting.values()) reject(hashingFailed(cause));
    this.#waiting.clear();
  }
}

function hashingFailed(cause?: unknown): DomainError {
  return new DomainError("INTERNAL", "hashing failed", { cause });
}
