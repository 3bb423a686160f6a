import { Worker } from "node:worker_threads";
import type { HashStep } from "./file-hasher.ts";

/** What the main thread asks of a hashing thread: to go on with an open file, or to forget it. */
export type HashRequest =
  | { readonly file: number; readonly fd: number; readonly isWhole: boolean }
  | { readonly file: number; readonly drop: true };

/** What a step read; or why it could not. */
export type HashReply =
  | (HashStep & { readonly file: number })
  | { readonly file: number; readonly code: string; readonly message: string };

/** Beside this file in the sources, beside the bundle once built. */
const WORKER_URL = new URL(
  import.meta.url.endsWith(".ts") ? "./file-hash-worker.ts" : "./file-hash-worker.js",
  import.meta.url,
);
/** Starting a thread costs more than hashing a small file. */
const IDLE_MS = 2_000;

/** A thread that hashes files; it ends when it has had none for a while. */
export class HashThread {
  /** The files under way. */
  readonly #files = new Set<number>();
  #alive = true;
  readonly #worker = new Worker(WORKER_URL, {
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
  });
  readonly #waiting = new Map<number, { resolve(step: HashStep): void; reject(error: unknown): void }>();
  #idle: NodeJS.Timeout | undefined;

  constructor() {
    this.#worker.unref();
    this.#worker.on("message", (reply: HashReply) => this.#settle(reply));
    this.#worker.on("error", (error) => this.#end(error));
    this.#worker.on("exit", (code) => this.#end(new Error(`the thread ended with code ${code}`)));
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  /** How many files it has. */
  get load(): number {
    return this.#files.size;
  }

  enter(file: number): void {
    clearTimeout(this.#idle);
    this.#files.add(file);
  }

  /** See `FileHash.step`. */
  step(file: number, fd: number, isWhole: boolean): Promise<HashStep> {
    if (!this.#alive) return Promise.reject(hashingFailed());
    const { promise, resolve, reject } = Promise.withResolvers<HashStep>();
    this.#waiting.set(file, { resolve, reject });
    this.#worker.postMessage({ file, fd, isWhole } satisfies HashRequest);
    return promise;
  }

  leave(file: number): void {
    if (!this.#files.delete(file) || !this.#alive) return;
    this.#worker.postMessage({ file, drop: true } satisfies HashRequest);
    if (this.#files.size > 0) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#files.size > 0) return;
      this.#alive = false;
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
    this.#alive = false;
    for (const { reject } of this.#waiting.values()) reject(hashingFailed(cause));
    this.#waiting.clear();
  }
}

function hashingFailed(cause?: unknown): Error {
  return new Error("hashing failed", { cause });
}
