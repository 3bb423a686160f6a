import { type FileHandle, open, rm } from "node:fs/promises";
import type { Clock } from "../../lib/clock.ts";
import type { HashDigests } from "./hash-messages.ts";
import type { HashPool, HashStream } from "./hash-pool.ts";
import { partError } from "./part-errors.ts";
import { createFile, removePart } from "./part-files.ts";
import type { PartName } from "./part-names.ts";
import { type PartRecord, writeRecord } from "./part-record.ts";
import { SLAB_BYTES, type Slab, type SlabPool } from "./slab-pool.ts";

/** What all parts of a process share. */
export interface PartTools {
  readonly hashes: HashPool;
  readonly slabs: SlabPool;
  readonly clock: Clock;
  readonly bootId: string;
  /** Names this process in records. */
  readonly writer: string;
  /** Paths of the parts that this process holds open. */
  readonly open: Set<string>;
}

/** Where the bytes of a part come from. */
export interface PartOrigin {
  readonly origin: string;
  readonly validator?: string;
  readonly size?: number;
}

const RECORD_INTERVAL_MS = 500;
const SYNC_INTERVAL_BYTES = 64 * 1024 * 1024;
/** A record, and some. */
const SPARE_BYTES = 64 * 1024;
/** Slabs of one part that are being written and hashed while the next one fills. */
const MAX_BUSY_SLABS = 2;

/**
 * A part file that grows at its end. Bytes are collected in slabs; each is written and hashed at once, and a record beside
 * the file says how far it is. Bytes that were written are never written again: to start over means a new file.
 */
export class Part {
  readonly name: PartName;
  readonly #tools: PartTools;
  readonly #gitBlobSize: number | undefined;
  #handle: FileHandle;
  #hash: HashStream;
  #from: Partial<PartOrigin>;

  #slab: Slab | undefined;
  #filled = 0;
  /** Bytes that were taken in; those handed over for writing; those written; those synced. */
  #taken = 0;
  #submitted = 0;
  #written = 0;
  #synced = 0;
  #busy: Promise<void>[] = [];
  #writes: Promise<void> = Promise.resolve();
  #syncing: Promise<void> | undefined;
  #failure: unknown;
  #recordTime = 0;
  #recordedSync = 0;

  private constructor(name: PartName, tools: PartTools, gitBlobSize: number | undefined, handle: FileHandle) {
    this.name = name;
    this.#tools = tools;
    this.#gitBlobSize = gitBlobSize;
    this.#handle = handle;
    this.#hash = tools.hashes.open(gitBlobSize);
    this.#from = {};
  }

  /** Begins a new part; `gitBlobSize` asks for git's SHA-1 of a blob of that size. */
  static async create(name: PartName, tools: PartTools, gitBlobSize?: number): Promise<Part> {
    const part = new Part(name, tools, gitBlobSize, await createFile(name));
    tools.open.add(name.dataPath);
    await part.#saveRecord();
    return part;
  }

  /** Goes on with a file of this process that bears the part's name by now, cut to what its record vouches for. */
  static async continue(name: PartName, tools: PartTools, record: PartRecord, gitBlobSize?: number): Promise<Part> {
    const handle = await open(name.dataPath, "r+");
    await handle.truncate(record.written);
    const part = new Part(name, tools, gitBlobSize, handle);
    tools.open.add(name.dataPath);
    part.#from = { origin: record.origin, validator: record.validator, size: record.size };
    part.#written = record.written;
    part.#synced = record.synced;
    part.#recordedSync = record.synced;
    return part;
  }

  /** Bytes that were taken in; all of them are hashed and written in the end. */
  get length(): number {
    return this.#taken;
  }

  /** Where the bytes came from last. */
  get from(): Partial<PartOrigin> {
    return this.#from;
  }

  /** Notes where the bytes come from. */
  comesFrom(from: Partial<PartOrigin>): void {
    this.#from = from;
  }

  /** Takes bytes in at the end; waits while earlier ones are written or hashed. */
  async append(chunk: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let rest = chunk; rest.length > 0; ) {
      this.#throwFailure();
      this.#slab ??= await this.#tools.slabs.acquire(signal);
      const fitting = rest.subarray(0, SLAB_BYTES - this.#filled);
      this.#slab.bytes.set(fitting, this.#filled);
      this.#filled += fitting.length;
      this.#taken += fitting.length;
      rest = rest.subarray(fitting.length);
      if (this.#filled === SLAB_BYTES) await this.#submit();
    }
  }

  /** Hashes what a continued file holds already; `received` hears of each piece. */
  async replay(signal: AbortSignal, received: (bytes: number) => void): Promise<void> {
    const slab = await this.#tools.slabs.acquire(signal);
    try {
      while (this.#taken < this.#written) {
        signal.throwIfAborted();
        const wanted = Math.min(SLAB_BYTES, this.#written - this.#taken);
        const { bytesRead } = await this.#handle.read(slab.bytes, 0, wanted, this.#taken);
        if (bytesRead === 0) throw new Error("the part is shorter than its record says");
        await this.#hash.update(slab.bytes.subarray(0, bytesRead));
        this.#taken += bytesRead;
        received(bytesRead);
      }
      this.#submitted = this.#taken;
    } finally {
      slab.release();
    }
  }

  /** Brings all that was taken in to the disk, and records it there. */
  async sync(): Promise<void> {
    await this.#syncData();
    await this.#saveRecord();
  }

  /** Brings all that was taken in to the disk and closes the file, which is whole now. */
  async seal(): Promise<void> {
    await this.#syncData();
    // The record need not outlive the machine: the file is about to become a blob.
    this.#recordedSync = this.#synced;
    await this.#saveRecord();
    await this.#close();
  }

  /** Ends the hash over all that was taken in. */
  async digest(): Promise<HashDigests> {
    await this.#flush();
    return this.#hash.digest();
  }

  /** Throws all bytes away and goes on with an empty file. */
  async restart(): Promise<void> {
    await this.#close();
    await rm(this.name.dataPath, { force: true });
    this.#handle = await createFile(this.name);
    this.#tools.open.add(this.name.dataPath);
    this.#hash = this.#tools.hashes.open(this.#gitBlobSize);
    this.#from = {};
    this.#taken = this.#submitted = this.#written = this.#synced = 0;
    this.#failure = undefined;
    await this.#saveRecord();
  }

  /** Closes the file and keeps it, with all bytes that could be written, for a later transfer. */
  async keep(): Promise<void> {
    await this.#flush().catch(() => {});
    await Promise.all(this.#busy);
    try {
      await this.#saveRecord().catch(() => this.#saveRecordOnFullDisk());
    } finally {
      await this.#close();
    }
  }

  /** Closes the file and takes it away. */
  async discard(): Promise<void> {
    await this.#close();
    await removePart(this.name);
  }

  async #flush(): Promise<void> {
    if (this.#filled > 0) await this.#submit();
    await Promise.all(this.#busy);
    this.#busy = [];
    this.#throwFailure();
  }

  async #syncData(): Promise<void> {
    await this.#flush();
    await this.#syncing;
    await this.#handle.datasync().catch((error) => this.#fail(error));
    this.#throwFailure();
    this.#synced = this.#written;
  }

  async #submit(): Promise<void> {
    const slab = this.#slab;
    if (slab === undefined) return;
    const bytes = slab.bytes.subarray(0, this.#filled);
    const position = this.#submitted;
    this.#submitted += bytes.length;
    this.#slab = undefined;
    this.#filled = 0;
    this.#writes = this.#writes.then(() => this.#write(bytes, position));
    const hashed = this.#hash.update(bytes).catch((error) => this.#fail(error));
    this.#busy.push(Promise.all([this.#writes, hashed]).then(() => slab.release()));
    if (this.#busy.length >= MAX_BUSY_SLABS) await this.#busy.shift();
    this.#throwFailure();
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, position + done);
        done += bytesWritten;
      }
      this.#written = position + bytes.length;
      this.#syncIfDue();
      if (this.#tools.clock.now() - this.#recordTime >= RECORD_INTERVAL_MS) await this.#saveRecord();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Brings bytes to the disk now and then beside the transfer, so that little is lost with the machine and the end is short. */
  #syncIfDue(): void {
    const target = this.#written;
    if (this.#syncing !== undefined || target - this.#synced < SYNC_INTERVAL_BYTES) return;
    const sync = async () => {
      try {
        await this.#handle.datasync();
        this.#synced = target;
      } catch (error) {
        this.#fail(error);
      }
      this.#syncing = undefined;
    };
    this.#syncing = sync();
  }

  async #saveRecord(): Promise<void> {
    this.#recordTime = this.#tools.clock.now();
    const durable = this.#synced !== this.#recordedSync;
    this.#recordedSync = this.#synced;
    const { bootId, writer } = this.#tools;
    const record = { ...this.#from, written: this.#written, synced: this.#synced, bootId, writer };
    try {
      await writeRecord(this.name.recordPath, record, durable);
    } catch (error) {
      throw partError(error);
    }
  }

  /** Gives the end of the part up, so that there is room to note the rest of it. */
  async #saveRecordOnFullDisk(): Promise<void> {
    try {
      this.#written = Math.max(0, this.#written - SPARE_BYTES);
      this.#synced = Math.min(this.#synced, this.#written);
      await this.#handle.truncate(this.#written);
      await this.#saveRecord();
    } catch {
      // Then the record of a moment ago stays in force, for as much of the file as there is.
    }
  }

  async #close(): Promise<void> {
    this.#slab?.release();
    this.#slab = undefined;
    this.#filled = 0;
    await Promise.all(this.#busy);
    this.#busy = [];
    await this.#syncing;
    this.#hash.drop();
    await this.#handle.close();
    this.#tools.open.delete(this.name.dataPath);
  }

  #fail(error: unknown): void {
    this.#failure ??= partError(error);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
