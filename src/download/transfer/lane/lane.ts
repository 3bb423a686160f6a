import { getCACertificates } from "node:tls";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { DomainError } from "../../../domain/errors.ts";
import { partError } from "../../../domain/part-error.ts";
import type { LaneCommand, LaneEvent, LaneFault, LaneFileOptions, LaneMessage, LaneRequest } from "./lane-messages.ts";
import type { LaneWorkerData } from "./lane-worker.ts";

/** What a lane tells of a file, but for answers. */
export type LaneNews = Exclude<LaneEvent, { kind: "answer" }>;

/** A file that a lane fills. */
export interface OpenedFile {
  /** Sends what needs no answer. */
  tell(command: LaneCommand): void;
  /** Asks, and waits for the answer; rejects with DISK_FULL, STORE_UNAVAILABLE or INTERNAL. */
  ask(command: LaneCommand): Promise<unknown>;
}

/** Beside this file in the sources, beside the bundle once built. */
function workerUrl(name: string): URL {
  return new URL(import.meta.url.endsWith(".ts") ? `./${name}.ts` : `./${name}.js`, import.meta.url);
}

const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

interface Listener {
  readonly hear: (news: LaneNews) => void;
  readonly waiting: Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>;
}

/**
 * Two threads that receive files: one reads sockets and writes, one hashes. They start when they are first needed, and do
 * not keep the process alive but for open files.
 */
export class Lane {
  readonly #threads: Worker[];
  readonly #files = new Map<number, Listener>();
  #opened = 0;
  #asked = 0;
  #failure: DomainError | undefined;

  constructor(options: Omit<LaneWorkerData, "port" | "authorities">) {
    const { port1, port2 } = new MessageChannel();
    const start = (name: string, workerData: object, port: MessagePort) =>
      new Worker(workerUrl(name), { workerData, transferList: [port], resourceLimits: LIMITS });
    const receiving = start(
      "lane-worker",
      { ...options, port: port1, authorities: getCACertificates("default") },
      port1,
    );
    this.#threads = [receiving, start("hash-worker", { port: port2 }, port2)];
    receiving.on("message", (message: LaneMessage) => this.#hear(message));
    for (const thread of this.#threads) {
      thread.unref();
      thread.on("error", (error) => this.#fail(error));
      thread.on("exit", (code) => this.#fail(new Error(`the thread ended with code ${code}`)));
    }
  }

  get isAlive(): boolean {
    return this.#failure === undefined;
  }

  /** How many files are open. */
  get load(): number {
    return this.#files.size;
  }

  /** Opens a part file; `hear` is told what becomes of it until it is closed. */
  async open(options: LaneFileOptions, hear: (news: LaneNews) => void): Promise<OpenedFile> {
    this.#opened += 1;
    const file = this.#opened;
    this.#files.set(file, { hear, waiting: new Map() });
    this.#threads[0]?.ref();
    const opened: OpenedFile = {
      tell: (command) => this.#post({ file, command }),
      ask: async (command) => {
        try {
          return await this.#ask(file, command);
        } finally {
          if (command.kind === "close" || command.kind === "seal") this.#forget(file);
        }
      },
    };
    try {
      await opened.ask({ kind: "open", options });
      return opened;
    } catch (error) {
      this.#forget(file);
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  #forget(file: number): void {
    this.#files.delete(file);
    if (this.#files.size === 0) this.#threads[0]?.unref();
  }

  #ask(file: number, command: LaneCommand): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#asked += 1;
    const request = this.#asked;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#files.get(file)?.waiting.set(request, { resolve, reject });
    this.#post({ file, request, command });
    return promise;
  }

  #post(request: LaneRequest): void {
    const { command } = request;
    this.#threads[0]?.postMessage(request, command.kind === "feed" ? [command.bytes.buffer] : []);
  }

  #hear({ file, event }: LaneMessage): void {
    const listener = this.#files.get(file);
    if (event.kind !== "answer") {
      listener?.hear(event);
      return;
    }
    const asked = listener?.waiting.get(event.request);
    listener?.waiting.delete(event.request);
    if (event.error === undefined) asked?.resolve(event.value);
    else asked?.reject(laneError(event.error));
  }

  #fail(cause: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = new DomainError("INTERNAL", "a thread that receives files failed", { cause });
    for (const { waiting, hear } of this.#files.values()) {
      for (const { reject } of waiting.values()) reject(this.#failure);
      hear({ kind: "failed", error: { message: this.#failure.message } });
    }
    this.#files.clear();
  }
}

/** An error of a lane as the main thread raises it. */
export function laneError({ message, code }: LaneFault): unknown {
  const error = new Error(message);
  return code === undefined
    ? new DomainError("INTERNAL", "a file could not be received", { cause: error })
    : partError(Object.assign(error, { code }));
}
