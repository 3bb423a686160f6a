import { close, fdatasync, openSync, rmSync, write } from "node:fs";
import { promisify } from "node:util";
import { Semaphore } from "../../../lib/semaphore.ts";
import { Bitmap } from "../parts/bitmap.ts";
import { BLOCK_BYTES, PIECE_BYTES, PIECES_PER_BLOCK } from "../parts/blocks.ts";
import { Journal, type JournalHeader, type Tail } from "../parts/journal.ts";
import type { KeptBytes } from "../parts/kept.ts";
import { DirectFile } from "./direct-file.ts";

const syncData = promisify(fdatasync);
const closeFile = promisify(close);
const writeAt = promisify(write);

/**
 * So much is written, and so long waited, before it is brought to the disk beside the transfer: then little is lost with the
 * machine, and the end is short. What is done in a moment is not slowed down by it.
 */
const SYNC_BYTES = 256 * 1024 * 1024;
const SYNC_MS = 15_000;

/** Writes to one file get into each other's way in the system; but when one ends, the next should be there, and a disk may take several. */
const WRITES_AT_ONCE = 4;

/** A file of so many bytes is written around the system's cache; a smaller one is soon done with, and soon read. */
const BIG_BYTES = 64 * 1024 * 1024;

/** What a part file is opened with. */
export interface PartFileOptions {
  readonly dataPath: string;
  readonly journalPath: string;
  readonly header: JournalHeader;
  readonly kept: KeptBytes;
  /** Bytes of the whole file, once known. */
  readonly size?: number;
}

/** A block of a file while its bytes come in. */
export interface Block {
  readonly index: number;
  /** Which slab holds it. */
  readonly slab: number;
  /** Bytes of it that are here, from its start. */
  filled: number;
  /** Of these, those that were handed over to be written, and those that are in the file. */
  submitted: number;
  written: number;
  /** Whether somebody is bringing it. */
  claimed: boolean;
  /** Resolves when what was submitted is in the file. */
  writing?: Promise<void>;
  /** Whether all of it was submitted. */
  whole?: boolean;
}

/**
 * A part file and its journal, written beside the thread that reads the sockets. Bytes that were written are never written
 * again: to start over means a new file.
 */
export class PartFile {
  readonly #dataPath: string;
  readonly #journalPath: string;
  readonly #isBig: boolean;
  #fd: number;
  #direct: DirectFile | undefined;
  #journal: Journal;
  readonly #turns = new Semaphore(WRITES_AT_ONCE);
  readonly #writes = new Set<Promise<void>>();
  #backlog = 0;
  #unsynced = 0;
  #syncedAt = performance.now();
  #syncing: Promise<void> | undefined;

  constructor({ dataPath, journalPath, header, kept, size = 0 }: PartFileOptions) {
    this.#isBig = size >= BIG_BYTES;
    this.#dataPath = dataPath;
    this.#journalPath = journalPath;
    this.#fd = openSync(dataPath, "r+");
    if (this.#isBig) this.#direct = new DirectFile(dataPath);
    this.#journal = new Journal(journalPath, header, new Bitmap(kept.pieces.slice()), new Bitmap());
  }

  /** The open file, to be read from. */
  get fd(): number {
    return this.#fd;
  }

  /** Writes a block's bytes from where it was written up to `end`; `whole` says that the block ends there. */
  write(block: Block, bytes: Uint8Array, end: number, whole: boolean): Promise<void> {
    const { writing: former } = block;
    const count = end - block.submitted;
    block.submitted = end;
    this.#backlog += count;
    block.writing = this.#inTurn(async () => {
      await former;
      await this.#write(block, bytes, end, whole);
    }).finally(() => {
      this.#backlog -= count;
    });
    return block.writing;
  }

  /** Resolves when nothing is being written any more. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#writes);
  }

  describe(header: JournalHeader, tails?: readonly Tail[]): void {
    this.#journal.describe(header, tails);
  }

  /** Bytes that wait to be written: a kill of the process loses them. */
  get backlog(): number {
    return this.#backlog;
  }

  /** Whether there is anything that a later transfer can go on with. */
  get isOfUse(): boolean {
    return this.#journal.vouches;
  }

  /** Goes on with an empty file. In this order no journal ever vouches for bytes of another file. */
  async restart(header: JournalHeader): Promise<void> {
    await this.close();
    rmSync(this.#journalPath, { force: true });
    rmSync(this.#dataPath, { force: true });
    this.#fd = openSync(this.#dataPath, "wx+", 0o640);
    if (this.#isBig) this.#direct = new DirectFile(this.#dataPath);
    this.#journal = new Journal(this.#journalPath, header, new Bitmap(), new Bitmap());
    this.#unsynced = 0;
  }

  /** Brings all bytes to the disk. */
  async sync(): Promise<void> {
    await this.#syncing;
    await syncData(this.#fd);
  }

  async close(): Promise<void> {
    await this.idle();
    await this.#syncing?.catch(() => {});
    this.#journal.close();
    this.#direct?.close();
    if (this.#fd >= 0) await closeFile(this.#fd);
    this.#fd = -1;
  }

  #inTurn(write: () => Promise<void>): Promise<void> {
    const written = this.#turns.acquire().then((release) => write().finally(release));
    this.#writes.add(written);
    const forget = () => this.#writes.delete(written);
    written.then(forget, forget);
    return written;
  }

  async #write(block: Block, bytes: Uint8Array, end: number, whole: boolean): Promise<void> {
    const from = block.written;
    const position = block.index * BLOCK_BYTES;
    for (let done = from; done < end; ) {
      const direct = (await this.#direct?.write(bytes, done, end, position + done)) ?? 0;
      done += direct > 0 ? direct : (await writeAt(this.#fd, bytes, done, end - done, position + done)).bytesWritten;
    }
    const first = Math.floor(from / PIECE_BYTES);
    const last = whole ? Math.ceil(end / PIECE_BYTES) : Math.floor(end / PIECE_BYTES);
    for (let piece = first; piece < last; piece += 1) this.#journal.wrote(block.index * PIECES_PER_BLOCK + piece);
    block.written = end;
    this.#unsynced += end - from;
    const isDue = this.#unsynced >= SYNC_BYTES && performance.now() - this.#syncedAt >= SYNC_MS;
    if (!isDue || this.#syncing !== undefined) return;
    this.#syncing = this.#syncAside();
    // Whoever brings the end to the disk hears of a failure.
    this.#syncing.catch(() => {});
  }

  async #syncAside(): Promise<void> {
    const journal = this.#journal;
    const snapshot = journal.snapshot();
    this.#unsynced = 0;
    await syncData(this.#fd);
    journal.synced(snapshot);
    if (journal.fd !== undefined) await syncData(journal.fd);
    this.#syncedAt = performance.now();
    this.#syncing = undefined;
  }
}
