import { type FileHandle, open, rm } from "node:fs/promises";
import type { Clock } from "../../lib/clock.ts";
import type { HashDigests } from "./hash-messages.ts";
import type { HashPool } from "./hash-pool.ts";
import { partError } from "./part-errors.ts";
import { createFile, removePart } from "./part-files.ts";
import type { PartName } from "./part-names.ts";
import { type PartRecord, writeRecord } from "./part-record.ts";
import { PartWriter } from "./part-writer.ts";
import type { SlabPool } from "./slab-pool.ts";

/** What all parts of a process share. */
export interface PartTools {
  readonly hashes: HashPool;
  readonly slabs: SlabPool;
  readonly clock: Clock;
  readonly bootId: string;
  /** Names this process in records. */
  readonly writer: string;
  /** Paths of the parts that this process has open or is about to open. */
  readonly open: Set<string>;
}

/** Where the bytes of a part come from. */
export interface PartOrigin {
  readonly origin: string;
  readonly validator?: string;
  readonly size?: number;
}

const RECORD_INTERVAL_MS = 500;
/** A record, and some. */
const SPARE_BYTES = 64 * 1024;

/**
 * A part file that grows at its end, and the record beside it that says how far it is. Bytes that were written are never
 * written again: to start over means a new file.
 */
export class Part {
  readonly name: PartName;
  readonly #tools: PartTools;
  readonly #gitBlobSize: number | undefined;
  #writer: PartWriter;
  #from: Partial<PartOrigin>;
  #recording: Promise<void> | undefined;
  #recordTime = 0;
  /** What the record says is on the disk. */
  #recordedSync: number;

  private constructor(
    name: PartName,
    tools: PartTools,
    gitBlobSize: number | undefined,
    handle: FileHandle,
    { written, synced, origin, validator, size }: Partial<PartRecord> = {},
  ) {
    this.name = name;
    this.#tools = tools;
    this.#gitBlobSize = gitBlobSize;
    this.#writer = this.#openWriter(handle, written, synced);
    this.#from = { origin, validator, size };
    this.#recordedSync = this.#writer.synced;
  }

  /** Begins a new part; `gitBlobSize` asks for git's SHA-1 of a blob of that size. */
  static async create(name: PartName, tools: PartTools, gitBlobSize?: number): Promise<Part> {
    const part = new Part(name, tools, gitBlobSize, await createFile(name));
    try {
      await part.#saveRecord();
      return part;
    } catch (error) {
      await part.discard();
      throw error;
    }
  }

  /** Goes on with a file of this process that bears the part's name by now; {@link Part.replay} has to come first. */
  static async continue(name: PartName, tools: PartTools, record: PartRecord, gitBlobSize?: number): Promise<Part> {
    return new Part(name, tools, gitBlobSize, await open(name.dataPath, "r+"), record);
  }

  /** Bytes that were taken in; all of them are hashed and written in the end. */
  get length(): number {
    return this.#writer.taken;
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
  append(chunk: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#writer.append(chunk, signal);
  }

  /** Hashes what a continued file holds already; `hashed` hears of each piece. */
  replay(signal: AbortSignal, hashed: (bytes: number) => void): Promise<void> {
    return this.#writer.replay(signal, hashed);
  }

  /** Brings all that was taken in to the disk, and records it there. */
  async sync(): Promise<void> {
    await this.#writer.sync();
    await this.#saveRecord();
  }

  /** Brings all that was taken in to the disk and closes the file, which is whole now. */
  async seal(): Promise<void> {
    await this.#writer.sync();
    // The record need not outlive the machine: the file is about to become a blob.
    this.#recordedSync = this.#writer.synced;
    await this.#saveRecord();
    await this.#close();
  }

  /** Ends the hash over all that was taken in. */
  digest(): Promise<HashDigests> {
    return this.#writer.digest();
  }

  /** Throws all bytes away and goes on with an empty file. */
  async restart(): Promise<void> {
    await this.#closeFile();
    // In this order no record ever vouches for bytes of another file.
    await rm(this.name.recordPath, { force: true });
    await rm(this.name.dataPath, { force: true });
    this.#writer = this.#openWriter(await createFile(this.name));
    this.#from = {};
    this.#recordedSync = 0;
    await this.#saveRecord();
  }

  /** Closes the file and keeps it, with all bytes that could be written, for a later transfer. */
  async keep(): Promise<void> {
    await this.#writer.flush().catch(() => {});
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

  #openWriter(handle: FileHandle, written?: number, synced?: number): PartWriter {
    const { hashes, slabs } = this.#tools;
    const hash = hashes.open(this.#gitBlobSize);
    return new PartWriter({ handle, hash, slabs, written, synced, onWritten: () => this.#recordIfDue() });
  }

  /** Beside the transfer, which goes on meanwhile. */
  #recordIfDue(): void {
    if (this.#recording !== undefined || this.#tools.clock.now() - this.#recordTime < RECORD_INTERVAL_MS) return;
    const record = async () => {
      await this.#writeRecord().catch((error) => this.#writer.fail(error));
      this.#recording = undefined;
    };
    this.#recording = record();
  }

  async #saveRecord(): Promise<void> {
    await this.#recording;
    await this.#writeRecord();
  }

  async #writeRecord(): Promise<void> {
    this.#recordTime = this.#tools.clock.now();
    const { written, synced } = this.#writer;
    const durable = synced !== this.#recordedSync;
    this.#recordedSync = synced;
    const { bootId, writer } = this.#tools;
    try {
      await writeRecord(this.name.recordPath, { ...this.#from, written, synced, bootId, writer }, durable);
    } catch (error) {
      throw partError(error);
    }
  }

  /** Gives the end of the part up, so that there is room to note the rest of it. */
  async #saveRecordOnFullDisk(): Promise<void> {
    try {
      await this.#writer.cut(SPARE_BYTES);
      await this.#saveRecord();
    } catch {
      // Then the record of a moment ago stays in force, for as much of the file as there is.
    }
  }

  async #closeFile(): Promise<void> {
    await this.#writer.close();
    await this.#recording;
  }

  async #close(): Promise<void> {
    await this.#closeFile();
    this.#tools.open.delete(this.name.dataPath);
  }
}
