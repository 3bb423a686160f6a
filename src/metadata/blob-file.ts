import { addAbortSignal } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { VersionFile } from "../domain/model.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import { humanBytes } from "../lib/bytes.ts";
import { MetadataProblem } from "./problem.ts";

/** A file of a version as those see it who read what it says. */
export interface BlobFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** The bytes from `start` up to, not including, `end`, or to the file's end. */
  read(start: number, end: number): Promise<Buffer>;
}

/** How many bytes may still be read for one version, all its files together: headers are small, and what is not is hostile. */
export class ReadBudget {
  readonly #total: number;
  #left: number;

  constructor(total: number) {
    this.#total = total;
    this.#left = total;
  }

  take(bytes: number): void {
    if (bytes > this.#left) {
      throw new MetadataProblem(`is not read further: a version's headers may take ${humanBytes(this.#total)} in all`);
    }
    this.#left -= bytes;
  }
}

/** Opens a file of a version; every read counts against the budget. */
export function openBlobFile(
  store: Pick<BlobStore, "read">,
  { path, size, digest }: VersionFile,
  budget: ReadBudget,
  signal: AbortSignal,
): BlobFile {
  return {
    path,
    size,
    async read(start, end) {
      signal.throwIfAborted();
      const range = { start, end: Math.min(end, size) };
      if (range.end <= start) return Buffer.alloc(0);
      budget.take(range.end - start);
      const stream = await store.read(digest, range);
      try {
        const bytes = await buffer(addAbortSignal(signal, stream));
        if (bytes.length < range.end - start) throw new MetadataProblem("is shorter in the store than it was");
        return bytes;
      } catch (error) {
        signal.throwIfAborted();
        throw error;
      }
    },
  };
}
