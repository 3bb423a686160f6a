import { close, fdatasync, openSync, rmSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import { Bitmap } from "../parts/bitmap.ts";
import { BLOCK_BYTES, PIECE_BYTES, PIECES_PER_BLOCK } from "../parts/blocks.ts";
import { Journal, type JournalHeader, type Tail } from "../parts/journal.ts";
import type { KeptBytes } from "../parts/kept.ts";

const syncData = promisify(fdatasync);
const closeFile = promisify(close);

/** So much is written before it is brought to the disk beside the transfer: then little is lost with the machine, and the end is short. */
const SYNC_BYTES = 256 * 1024 * 1024;

/** What a part file is opened with. */
export interface PartFileOptions {
  readonly dataPath: string;
  readonly journalPath: string;
  readonly header: JournalHeader;
  readonly kept: KeptBytes;
}

/** A block of a file while its bytes come in. */
export interface Block {
  readonly index: number;
  /** Which slab holds it. */
  readonly slab: number;
  /** Bytes of it that are here, from its start. */
  filled: number;
  /** Of these, those that are in the file. */
  written: number;
  /** Whether somebody is bringing it. */
  claimed: boolean;
}

/**
 * A part file and its journal in the thread that writes them. Writes are synchronous: nothing else competes for the file, and
 * the thread has nothing better to do meanwhile. Bytes that were written are never written again: to start over means a new file.
 */
export class PartFile {
  readonly #dataPath: string;
  readonly #journalPath: string;
  #fd: number;
  #journal: Journal;
  #unsynced = 0;
  #syncing: Promise<void> | undefined;

  constructor({ dataPath, journalPath, header, kept }: PartFileOptions) {
    this.#dataPath = dataPath;
    this.#journalPath = journalPath;
    this.#fd = openSync(dataPath, "r+");
    this.#journal = new Journal(journalPath, header, new Bitmap(kept.pieces.slice()), new Bitmap());
  }

  /** The open file, to be read from. */
  get fd(): number {
    return this.#fd;
  }

  /** Writes a block's bytes from where it was written up to `end`; `whole` says that the block ends there. */
  write(block: Block, bytes: Uint8Array, end: number, whole: boolean): void {
    const position = block.index * BLOCK_BYTES;
    for (let done = block.written; done < end; ) done += writeSync(this.#fd, bytes, done, end - done, position + done);
    const first = Math.floor(block.written / PIECE_BYTES);
    const last = whole ? Math.ceil(end / PIECE_BYTES) : Math.floor(end / PIECE_BYTES);
    for (let piece = first; piece < last; piece += 1) this.#journal.wrote(block.index * PIECES_PER_BLOCK + piece);
    this.#unsynced += end - block.written;
    block.written = end;
    if (this.#unsynced >= SYNC_BYTES) this.#syncing ??= this.#syncAside();
  }

  describe(header: JournalHeader, tails?: readonly Tail[]): void {
    this.#journal.describe(header, tails);
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
    this.#journal = new Journal(this.#journalPath, header, new Bitmap(), new Bitmap());
    this.#unsynced = 0;
  }

  /** Brings all bytes to the disk. */
  async sync(): Promise<void> {
    await this.#syncing;
    await syncData(this.#fd);
  }

  async close(): Promise<void> {
    await this.#syncing?.catch(() => {});
    this.#journal.close();
    if (this.#fd >= 0) await closeFile(this.#fd);
    this.#fd = -1;
  }

  async #syncAside(): Promise<void> {
    const journal = this.#journal;
    const snapshot = journal.snapshot();
    this.#unsynced = 0;
    await syncData(this.#fd);
    journal.synced(snapshot);
    if (journal.fd !== undefined) await syncData(journal.fd);
    this.#syncing = undefined;
  }
}
