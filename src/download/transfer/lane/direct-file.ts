import { closeSync, constants, openSync, write } from "node:fs";
import { promisify } from "node:util";
import { systemCode } from "../../../lib/system-error.ts";

const writeAt = promisify(write);

/** What every file system takes that writes around its cache. */
const ALIGNMENT = 4096;

/** More would not make a disk faster. What comes while so many are under way goes to the cache, which does not make it wait. */
const WRITES_AT_ONCE = 2;

/**
 * A file written around the system's cache: big files would fill it with what nobody reads soon, and cost more processor
 * time than everything else (measured: 2 s a GiB where the memory has to be found first, against 0.1). Linux only; the
 * file may be written and read in the common way beside it.
 */
export class DirectFile {
  #fd: number | undefined;
  #writes = 0;

  /** Opens the file; where that cannot be, nothing is ever written. */
  constructor(path: string) {
    try {
      this.#fd = constants.O_DIRECT === undefined ? undefined : openSync(path, constants.O_WRONLY | constants.O_DIRECT);
    } catch {
      this.#fd = undefined;
    }
  }

  /**
   * Writes what can be written so of `bytes` from `start` up to `end`, which begins at `position` of the file, and answers how
   * much that is. `bytes` begins at a page of memory.
   */
  async write(bytes: Uint8Array, start: number, end: number, position: number): Promise<number> {
    const length = end - start - ((end - start) % ALIGNMENT);
    if (this.#fd === undefined || start % ALIGNMENT !== 0 || position % ALIGNMENT !== 0 || length === 0) return 0;
    if (this.#writes === WRITES_AT_ONCE) return 0;
    this.#writes += 1;
    try {
      return (await writeAt(this.#fd, bytes, start, length, position)).bytesWritten;
    } catch (error) {
      if (systemCode(error) !== "EINVAL") throw error;
      // This file system wants it otherwise.
      this.close();
      return 0;
    } finally {
      this.#writes -= 1;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
