import type { FileHandle } from "node:fs/promises";
import type { HashDigests } from "./hash-messages.ts";
import type { HashStream } from "./hash-pool.ts";
import { partError } from "./part-errors.ts";
import { SLAB_BYTES, type Slab, type SlabPool } from "./slab-pool.ts";

/** What a writer works on; it closes the file and the hash in the end. */
export interface WriterOptions {
  readonly handle: FileHandle;
  readonly hash: HashStream;
  readonly slabs: SlabPool;
  /** Bytes that the file holds already, to be hashed by {@link PartWriter.replay} first; and those of them on the disk. Default 0. */
  readonly written?: number;
  readonly synced?: number;
  /** Called after each write. */
  readonly onWritten: () => void;
}

const SYNC_INTERVAL_BYTES = 64 * 1024 * 1024;
/** Slabs of one part that are being written and hashed while the next one fills. */
const MAX_BUSY_SLABS = 2;

/**
 * Appends to a file and hashes what it appends. Bytes are collected in slabs; each is written, then hashed in another
 * thread, while the next one fills. After a failure every call raises it again.
 */
export class PartWriter {
  readonly #handle: FileHandle;
  readonly #hash: HashStream;
  readonly #slabs: SlabPool;
  readonly #onWritten: () => void;

  #slab: Slab | undefined;
  #filled = 0;
  /** Bytes that were taken in; those handed over for writing; those written; those synced. */
  #taken = 0;
  #submitted = 0;
  #written: number;
  #synced: number;
  #busy: Promise<void>[] = [];
  #writes: Promise<void> = Promise.resolve();
  #syncing: Promise<void> | undefined;
  #failure: unknown;

  constructor({ handle, hash, slabs, written = 0, synced = 0, onWritten }: WriterOptions) {
    this.#handle = handle;
    this.#hash = hash;
    this.#slabs = slabs;
    this.#written = written;
    this.#synced = synced;
    this.#onWritten = onWritten;
  }

  /** Bytes that were taken in; all of them are hashed and written in the end. */
  get taken(): number {
    return this.#taken;
  }

  /** Bytes from the file's start that were handed to the system. */
  get written(): number {
    return this.#written;
  }

  /** Bytes from the file's start that are on the disk. */
  get synced(): number {
    return this.#synced;
  }

  /** Takes bytes in at the end; waits while earlier ones are written or hashed. */
  async append(chunk: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let rest = chunk; rest.length > 0; ) {
      this.#throwFailure();
      this.#slab ??= await this.#slabs.acquire(signal);
      const fitting = rest.subarray(0, SLAB_BYTES - this.#filled);
      this.#slab.bytes.set(fitting, this.#filled);
      this.#filled += fitting.length;
      this.#taken += fitting.length;
      rest = rest.subarray(fitting.length);
      if (this.#filled === SLAB_BYTES) await this.#submit();
    }
  }

  /** Hashes what the file holds already, and cuts off what is beyond; `hashed` hears of each piece. */
  async replay(signal: AbortSignal, hashed: (bytes: number) => void): Promise<void> {
    while (this.#taken < this.#written) {
      const slab = await this.#slabs.acquire(signal);
      let memory: ArrayBuffer | undefined;
      try {
        const wanted = Math.min(SLAB_BYTES, this.#written - this.#taken);
        const { bytesRead } = await this.#handle.read(slab.bytes, 0, wanted, this.#taken);
        if (bytesRead === 0) throw new Error("the part is shorter than its record says");
        memory = await this.#hash.update(slab.bytes.subarray(0, bytesRead));
        this.#taken += bytesRead;
        hashed(bytesRead);
      } finally {
        slab.release(memory);
      }
    }
    this.#submitted = this.#taken;
    await this.#handle.truncate(this.#written);
  }

  /** Writes and hashes all that was taken in; when it ends, by a failure too, nothing is being written any more. */
  async flush(): Promise<void> {
    if (this.#filled > 0) await this.#submit();
    await this.#idle();
    this.#throwFailure();
  }

  /** Brings all that was taken in to the disk. */
  async sync(): Promise<void> {
    await this.flush();
    await this.#syncing;
    await this.#syncNow();
    this.#throwFailure();
  }

  /** Ends the hash over all that was taken in. */
  async digest(): Promise<HashDigests> {
    await this.flush();
    return this.#hash.digest();
  }

  /** Gives up to `bytes` up at the file's end. */
  async cut(bytes: number): Promise<void> {
    this.#written = Math.max(0, this.#written - bytes);
    this.#synced = Math.min(this.#synced, this.#written);
    await this.#handle.truncate(this.#written);
  }

  /** Makes every call from now on raise `error`. */
  fail(error: unknown): void {
    this.#failure ??= partError(error);
  }

  /** Waits for what was begun, drops what was collected only, and closes the file. */
  async close(): Promise<void> {
    this.#slab?.release(this.#slab.bytes.buffer);
    this.#slab = undefined;
    this.#filled = 0;
    await this.#idle();
    await this.#syncing;
    this.#hash.drop();
    await this.#handle.close();
  }

  /** Hands what was collected over; its failure is raised by whoever calls next. */
  async #submit(): Promise<void> {
    const slab = this.#slab;
    if (slab === undefined) return;
    const bytes = slab.bytes.subarray(0, this.#filled);
    const position = this.#submitted;
    this.#submitted += bytes.length;
    this.#slab = undefined;
    this.#filled = 0;
    this.#writes = this.#writes.then(() => this.#write(bytes, position));
    this.#busy.push(this.#writes.then(() => this.#hashed(bytes)).then(slab.release));
    if (this.#busy.length > MAX_BUSY_SLABS) await this.#busy.shift();
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, position + done);
        done += bytesWritten;
      }
      this.#written = position + bytes.length;
      if (this.#written - this.#synced >= SYNC_INTERVAL_BYTES) this.#syncing ??= this.#syncNow();
      this.#onWritten();
    } catch (error) {
      this.fail(error);
    }
  }

  async #hashed(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer | undefined> {
    try {
      return await this.#hash.update(bytes);
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  /** Now and then beside the transfer, so that little is lost with the machine and the end is short. */
  async #syncNow(): Promise<void> {
    const written = this.#written;
    try {
      await this.#handle.datasync();
      this.#synced = written;
    } catch (error) {
      this.fail(error);
    }
    this.#syncing = undefined;
  }

  async #idle(): Promise<void> {
    await Promise.all(this.#busy);
    this.#busy = [];
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
