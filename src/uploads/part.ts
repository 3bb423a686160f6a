import { type FileHandle, open } from "node:fs/promises";
import { type Digest, digestOfHex } from "../domain/digest.ts";
import type { FileHash, FileHasher } from "../lib/hashing/file-hasher.ts";

const MiB = 1024 * 1024;
/** What arrives is written in pieces of this. */
const BUFFER_BYTES = MiB;
/** So much is brought to the disk at a time, that the end has little left to wait for. */
const SYNC_BYTES = 128 * MiB;

/**
 * A file that grows by what is appended. Its hash follows the writing in another thread, by way of the system's memory of
 * the file; what was there before is read once, beside what arrives.
 */
export class Part {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #hash: FileHash;
  #written: number;
  #unsynced = 0;
  #hashed = 0;
  #digest: Digest | undefined;
  /** One fills while the other is written; none while nothing comes. */
  #filling: Buffer | undefined;
  #spare: Buffer | undefined;
  #filled = 0;
  /** The write that runs, and the hashing and syncing beside it; they never reject, but leave what failed. */
  #writing = Promise.resolve();
  #following: Promise<void> | undefined;
  #syncing: Promise<void> | undefined;
  #isClosing = false;
  #failure: { readonly error: unknown } | undefined;

  private constructor(path: string, handle: FileHandle, size: number, hasher: FileHasher) {
    this.path = path;
    this.#handle = handle;
    this.#written = size;
    this.#hash = hasher.begin(handle.fd);
  }

  static async open(path: string, hasher: FileHasher): Promise<Part> {
    const handle = await open(path, "r+");
    try {
      return new Part(path, handle, (await handle.stat()).size, hasher);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** All bytes that were appended or were there before. */
  get size(): number {
    return this.#written + this.#filled;
  }

  /** Whether its digest is known already. */
  get isSealed(): boolean {
    return this.#digest !== undefined;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Takes bytes over, and waits while the disk is slower than whoever sends them; the system's error of an earlier write. */
  async append(bytes: Uint8Array): Promise<void> {
    for (let taken = 0; taken < bytes.length; ) {
      this.#filling ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
      const some = bytes.subarray(taken, taken + BUFFER_BYTES - this.#filled);
      this.#filling.set(some, this.#filled);
      this.#filled += some.length;
      taken += some.length;
      if (this.#filled === BUFFER_BYTES) await this.#write();
    }
  }

  /** Hands all that was appended to the system. */
  async flush(): Promise<void> {
    await this.#write();
    await this.#writing;
    this.#filling = this.#spare = undefined;
    this.#raise();
  }

  /** The digest of all bytes, which are on the disk then. Nothing can be appended any more. */
  async seal(): Promise<Digest> {
    await this.flush();
    await this.#syncing;
    const synced = this.#handle.sync();
    synced.catch(() => {});
    await this.#following;
    try {
      while (this.#digest === undefined) {
        const { hex } = await this.#hash.step(true);
        if (hex !== undefined) this.#digest = digestOfHex(hex);
      }
    } finally {
      await synced;
    }
    this.#raise();
    return this.#digest;
  }

  /** Closes the file, with all that could be written of it. */
  async close(): Promise<void> {
    await this.flush().catch(() => {});
    this.#isClosing = true;
    await Promise.all([this.#following, this.#syncing]);
    this.#hash.drop();
    // A write that failed may have got further than is known.
    if (this.#failure !== undefined) await this.#handle.truncate(this.#written).catch(() => {});
    await this.#handle.close();
  }

  /** Begins to write what is in the buffer, once the write before is done. */
  async #write(): Promise<void> {
    await this.#writing;
    this.#raise();
    if (this.#filling === undefined || this.#filled === 0) return;
    const bytes = this.#filling.subarray(0, this.#filled);
    const at = this.#written;
    [this.#filling, this.#spare] = [this.#spare, this.#filling];
    this.#written += this.#filled;
    this.#filled = 0;
    this.#writing = this.#noting(async () => {
      let done = 0;
      try {
        while (done < bytes.length) {
          const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, at + done);
          done += bytesWritten;
        }
      } finally {
        if (done < bytes.length) this.#written = at + done;
      }
      this.#unsynced += done;
      this.#following ??= this.#follow();
      if (this.#unsynced >= SYNC_BYTES) this.#syncing ??= this.#sync();
    });
  }

  async #follow(): Promise<void> {
    await this.#noting(async () => {
      for (let bytes = 1; bytes > 0 && this.#hashed < this.#written && !this.#isClosing; this.#hashed += bytes) {
        ({ bytes } = await this.#hash.step(false));
      }
    });
    this.#following = undefined;
  }

  async #sync(): Promise<void> {
    this.#unsynced = 0;
    await this.#noting(() => this.#handle.datasync());
    this.#syncing = undefined;
  }

  async #noting(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  #raise(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
