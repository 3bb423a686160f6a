import type { MessagePort } from "node:worker_threads";
import type { HashCommand, HashDigests, HashReply } from "./hash-messages.ts";

/** A lane's end of its hashing thread. */
export class Hasher {
  readonly #port: MessagePort;
  /** Answers come in the order of the questions. */
  readonly #waiting: { resolve: (digests: HashDigests | undefined) => void; reject: (error: unknown) => void }[] = [];
  #opened = 0;

  constructor(port: MessagePort, memory: SharedArrayBuffer) {
    this.#port = port;
    this.#post({ kind: "memory", memory });
    port.on("message", ({ digests, error }: HashReply) => {
      const waiting = this.#waiting.shift();
      if (error === undefined) waiting?.resolve(digests);
      else waiting?.reject(error);
    });
  }

  /** Begins a stream; with `gitBlobSize` git's SHA-1 of a blob of that size is made too. */
  open(gitBlobSize: number | undefined): HashStream {
    this.#opened += 1;
    const stream = this.#opened;
    this.#post({ kind: "open", stream, gitBlobSize });
    return {
      slab: (slab, length) => this.#ask({ kind: "slab", stream, slab, length }),
      read: (fd, position, length) => this.#ask({ kind: "read", stream, fd, position, length }),
      digest: async () => {
        const digests = await this.#ask({ kind: "digest", stream });
        if (digests === undefined) throw new Error("the hashing thread answered out of turn");
        return digests;
      },
      drop: () => this.#post({ kind: "drop", stream }),
    };
  }

  #ask(command: HashCommand): Promise<HashDigests | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<HashDigests | undefined>();
    this.#waiting.push({ resolve, reject });
    this.#post(command);
    return promise;
  }

  #post(command: HashCommand): void {
    this.#port.postMessage(command);
  }
}

/** One stream of bytes that is hashed in another thread, in the order of the calls. */
export interface HashStream {
  /** Resolves when the slab may be changed again. */
  slab(slab: number, length: number): Promise<unknown>;
  /** Hashes bytes of an open file; rejects if they cannot be read. */
  read(fd: number, position: number, length: number): Promise<unknown>;
  /** Ends the stream. */
  digest(): Promise<HashDigests>;
  /** Ends the stream without an answer. Harmless after {@link HashStream.digest}. */
  drop(): void;
}
