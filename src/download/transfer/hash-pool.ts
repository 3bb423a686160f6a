import { Worker } from "node:worker_threads";
import { DomainError } from "../../domain/errors.ts";
import type { HashCommand, HashDigests, HashReply } from "./hash-messages.ts";

/** One stream of bytes that is being hashed in another thread. */
export interface HashStream {
  /** Hashes bytes, whose memory goes to the other thread with them; answers it when it is back. */
  update(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer>;
  /** Ends the stream. */
  digest(): Promise<HashDigests>;
  /** Ends the stream without an answer. Harmless after {@link HashStream.digest}. */
  drop(): void;
}

/** Beside this file in the sources, beside the bundle once built. */
const WORKER_URL = new URL(import.meta.url.endsWith(".ts") ? "./hash-worker.ts" : "./hash-worker.js", import.meta.url);

/** Threads that hash. They start when they are first needed, and do not keep the process alive. */
export class HashPool {
  readonly #threads: (HashThread | undefined)[];
  #opened = 0;

  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => undefined);
  }

  /** Begins a stream in the thread that has the fewest; with `gitBlobSize` git's SHA-1 of a blob of that size is made too. */
  open(gitBlobSize?: number): HashStream {
    let chosen = 0;
    for (const [index, thread] of this.#threads.entries()) {
      if (load(thread) < load(this.#threads[chosen])) chosen = index;
    }
    const usable = this.#threads[chosen];
    const thread = usable?.alive ? usable : new HashThread();
    this.#threads[chosen] = thread;
    this.#opened += 1;
    return thread.open(this.#opened, gitBlobSize);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread?.close()));
    this.#threads.fill(undefined);
  }
}

function load(thread: HashThread | undefined): number {
  return thread?.alive ? thread.streams : 0;
}

/** Who waits for replies of one stream, in order. */
interface Waiting {
  resolve(reply: HashReply): void;
  reject(error: unknown): void;
}

class HashThread {
  readonly #worker = new Worker(WORKER_URL, {
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
  });
  readonly #waiting = new Map<number, Waiting[]>();
  #failure: DomainError | undefined;

  constructor() {
    this.#worker.unref();
    this.#worker.on("message", (reply: HashReply) => this.#waiting.get(reply.stream)?.shift()?.resolve(reply));
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", (code) => this.#fail(new Error(`the thread ended with code ${code}`)));
  }

  get alive(): boolean {
    return this.#failure === undefined;
  }

  get streams(): number {
    return this.#waiting.size;
  }

  open(stream: number, gitBlobSize?: number): HashStream {
    this.#waiting.set(stream, []);
    this.#post({ kind: "open", stream, gitBlobSize });
    return {
      update: async (bytes) => {
        const reply = await this.#ask({ kind: "update", stream, bytes }, [bytes.buffer]);
        if ("memory" in reply) return reply.memory;
        throw outOfTurn();
      },
      digest: async () => {
        const reply = await this.#ask({ kind: "digest", stream });
        this.#waiting.delete(stream);
        if ("digests" in reply) return reply.digests;
        throw outOfTurn();
      },
      drop: () => {
        if (this.#waiting.delete(stream)) this.#post({ kind: "drop", stream });
      },
    };
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #ask(command: HashCommand, transfer: ArrayBuffer[] = []): Promise<HashReply> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<HashReply>();
    this.#waiting.get(command.stream)?.push({ resolve, reject });
    this.#post(command, transfer);
    return promise;
  }

  #post(command: HashCommand, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(command, transfer);
  }

  #fail(cause: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = new DomainError("INTERNAL", "hashing failed", { cause });
    for (const waiting of this.#waiting.values()) for (const { reject } of waiting) reject(this.#failure);
    this.#waiting.clear();
  }
}

function outOfTurn(): DomainError {
  return new DomainError("INTERNAL", "a hashing thread answered out of turn");
}
