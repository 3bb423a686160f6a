import type { FileHandle } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { HashThread } from "./hash-thread.ts";

const HASH_THREADS = Math.min(2, availableParallelism());

/** What a step read, in bytes; with the SHA-256 as hex digits once that has ended. */
export interface HashStep {
  readonly bytes: number;
  readonly hex?: string;
}

/** The hash of one open file under way. */
export interface FileHash {
  /**
   * Reads on by some MiB at most. The end of the file ends the hash if `isWhole`; of a file that still grows it is just no
   * bytes for now.
   *
   * @throws the system's error of a read that failed, with its `code`.
   */
  step(isWhole: boolean): Promise<HashStep>;
  /** Forgets it; harmless after its end. */
  drop(): void;
}

/** Hashes files off the main thread. Its threads start when they are needed and end by themselves. */
export class FileHasher {
  readonly #threads: (HashThread | undefined)[] = Array.from({ length: HASH_THREADS }, () => undefined);
  #files = 0;

  /** Begins to hash an open file from its first byte, wherever its own position is. */
  begin(fd: number): FileHash {
    const thread = this.#leastBusy();
    const file = ++this.#files;
    thread.enter(file);
    return {
      step: (isWhole) => thread.step(file, fd, isWhole),
      drop: () => thread.leave(file),
    };
  }

  /**
   * Reads an open file to its end; `onRead` hears of each piece of some MiB, and the next one is read when it is done.
   *
   * @throws the system's error of a read that failed, with its `code`; the signal's reason.
   */
  async hashOf(
    handle: FileHandle,
    { signal, onRead }: { signal: AbortSignal; onRead?(bytes: number): Promise<void> | void },
  ): Promise<{ hex: string; size: number }> {
    const hash = this.begin(handle.fd);
    let size = 0;
    try {
      for (;;) {
        signal.throwIfAborted();
        const { bytes, hex } = await hash.step(true);
        size += bytes;
        await onRead?.(bytes);
        if (hex !== undefined) return { hex, size };
      }
    } finally {
      hash.drop();
    }
  }

  #leastBusy(): HashThread {
    const load = (thread: HashThread | undefined) => (thread?.isAlive ? thread.load : 0);
    let chosen = 0;
    for (const [index, thread] of this.#threads.entries()) {
      if (load(thread) < load(this.#threads[chosen])) chosen = index;
    }
    const usable = this.#threads[chosen];
    const thread = usable?.isAlive ? usable : new HashThread();
    this.#threads[chosen] = thread;
    return thread;
  }
}
