import { readSync } from "node:fs";
import { BLOCK_BYTES, blockLength, PIECE_BYTES } from "../parts/blocks.ts";
import type { JournalHeader, Tail } from "../parts/journal.ts";
import { Kept, NOTHING_KEPT } from "../parts/kept.ts";
import type { HashDigests } from "./hash-messages.ts";
import { HashOrder, type OrderedBytes } from "./hash-order.ts";
import type { Hasher } from "./hasher.ts";
import type { Gap } from "./lane-messages.ts";
import { type Block, PartFile, type PartFileOptions } from "./part-file.ts";
import type { Slabs } from "./slabs.ts";

export interface ReceiverOptions extends PartFileOptions {
  readonly gitBlobSize?: number;
}

/** What a receiver shares with others of its lane. */
export interface ReceiverTools {
  readonly slabs: Slabs;
  readonly hasher: Hasher;
  /** Slabs that one file may hold now. */
  readonly quota: () => number;
  /** Connections that share the quota of this file now. */
  readonly connections: () => number;
}

/** A run of missing bytes that somebody is bringing, from `start` up to `end`, which may be infinite; `position` is the next. */
export interface Run {
  readonly start: number;
  end: number;
  position: number;
}

/** Hears what becomes of a file. */
export interface ReceiverEvents {
  complete(size: number, digests: HashDigests): void;
  failed(error: unknown): void;
  /** Memory or missing bytes are to be had again. */
  room(): void;
}

const MOST_BLOCKS_PER_RUN = 8;
/** Of more connections than this in a lane each writes smaller pieces, so that a kill costs little however many they are. */
const FEW_CONNECTIONS = 6;
/** Of the memory of a file no more than this part may wait to be written: it is what a kill loses. */
const BACKLOG_SHARE = 8;

/**
 * Puts the bytes of one file together. Missing bytes are claimed from the front, block by block; each block has memory of its
 * own until its bytes are written and hashed in the file's order. Who is ahead of the hash waits for it, and is never read again.
 */
export class Receiver implements OrderedBytes {
  readonly #tools: ReceiverTools;
  readonly #events: ReceiverEvents;
  readonly #file: PartFile;
  #kept: Kept;
  /** Of blocks that nobody has claimed since. */
  #tails: Map<number, number>;
  #size: number | undefined;
  readonly #blocks = new Map<number, Block>();
  /** Blocks before this are kept, or were claimed once. */
  #cursor = 0;
  readonly #order: HashOrder;
  #failed = false;

  constructor(options: ReceiverOptions, tools: ReceiverTools, events: ReceiverEvents) {
    this.#tools = tools;
    this.#events = events;
    this.#file = new PartFile(options);
    this.#kept = new Kept(options.kept);
    this.#tails = new Map(options.kept.tails);
    this.#size = options.size;
    this.#order = new HashOrder(tools.hasher, options.gitBlobSize, this);
  }

  /** Bytes of the whole file, once known. */
  get size(): number | undefined {
    return this.#size;
  }

  /** Whether nothing of the file is here or on its way. */
  get isEmpty(): boolean {
    return this.#order.next === 0 && !this.#isKept(0) && [...this.#blocks.values()].every(({ filled }) => filled === 0);
  }

  /** Begins to hash what is kept. */
  start(): void {
    this.#order.advance();
  }

  // What the order of hashing asks.

  get fd(): number {
    return this.#file.fd;
  }

  take(index: number): Block | undefined {
    const block = this.#blocks.get(index);
    if (!block?.whole) return undefined;
    this.#blocks.delete(index);
    return block;
  }

  isKept(index: number): boolean {
    return !this.#blocks.has(index) && this.#isKept(index);
  }

  free(slab: number): void {
    this.#tools.slabs.give(slab);
  }

  hashed(digests: HashDigests): void {
    const size = this.#size ?? 0;
    // What is not written has failed, which is told by itself.
    void this.#file.idle().then(() => {
      if (!this.#failed) this.#events.complete(size, digests);
    });
  }

  failed(error: unknown): void {
    this.#failed = true;
    this.#events.failed(error);
  }

  // What those ask who bring bytes.

  /** The lowest missing bytes that nobody brings, as many as one connection should; undefined while there are none, or no memory for them. */
  claim(): Run | undefined {
    const most = this.#tools.quota() / (3 * Math.max(1, this.#tools.connections()));
    const first = this.#claimBlock(this.#nextMissing());
    if (first === undefined) return undefined;
    const start = first.index * BLOCK_BYTES + first.filled;
    let last = first;
    for (let count = 1; count < Math.min(MOST_BLOCKS_PER_RUN, Math.floor(most)); count += 1) {
      const next = last.index + 1;
      if (this.#kept.bytesOf(next, this.#size) > 0 || (this.#blocks.get(next)?.filled ?? 0) > 0) break;
      const block = this.#blocks.get(next)?.claimed ? undefined : this.#claimBlock(next);
      if (block === undefined) break;
      last = block;
    }
    return { start, position: start, end: last.index * BLOCK_BYTES + this.#lengthOf(last.index) };
  }

  /** Gives up what a run has not brought. */
  release(run: Run): void {
    for (let index = Math.floor(run.position / BLOCK_BYTES); index * BLOCK_BYTES < run.end; index += 1) {
      const block = this.#blocks.get(index);
      if (block === undefined) break;
      block.claimed = false;
    }
    this.#events.room();
  }

  /** The missing bytes from the front up to what is here, for a run that brings them all; undefined if there are none. */
  gap(): Gap | undefined {
    const first = this.#nextMissing();
    if (first === undefined) return undefined;
    const start = first * BLOCK_BYTES + (this.#blocks.get(first)?.filled ?? this.#kept.bytesOf(first, this.#size));
    let next = first + 1;
    while (this.#size !== undefined && next * BLOCK_BYTES < this.#size && this.#isAbsent(next)) next += 1;
    return { start, end: this.#size === undefined ? undefined : Math.min(this.#size, next * BLOCK_BYTES) };
  }

  /** Where the next bytes of a run go; undefined while there is no memory for them. */
  spaceFor(run: Run): Uint8Array | undefined {
    if (this.#file.backlog >= Math.max(1, this.#tools.quota() / BACKLOG_SHARE) * BLOCK_BYTES) return undefined;
    const index = Math.floor(run.position / BLOCK_BYTES);
    const block = this.#claimBlock(index);
    if (block === undefined) return undefined;
    return this.#tools.slabs.bytes(
      block.slab,
      block.filled,
      Math.min(this.#lengthOf(index), run.end - index * BLOCK_BYTES),
    );
  }

  /** So many bytes of a run were put where {@link Receiver.spaceFor} said. */
  filled(run: Run, count: number): void {
    const index = Math.floor(run.position / BLOCK_BYTES);
    const block = this.#blocks.get(index);
    if (block === undefined) throw new Error("bytes came for a block that nobody asked for");
    block.filled += count;
    run.position += count;
    const unit = this.#tools.connections() > FEW_CONNECTIONS ? PIECE_BYTES : BLOCK_BYTES;
    if (block.filled === this.#lengthOf(index)) this.#save(block);
    else if (block.filled - block.submitted >= unit) {
      this.#submit(block, block.filled - (block.filled % PIECE_BYTES), false);
    }
  }

  /** The file ends where the run has come to. */
  end(size: number): void {
    this.#size = size;
    const last = this.#blocks.get(Math.floor(size / BLOCK_BYTES));
    if (last !== undefined && last.filled === this.#lengthOf(last.index) && last.filled > 0) this.#save(last);
    else this.#order.advance();
  }

  describe(header: JournalHeader, size: number | undefined): void {
    this.#size ??= size;
    this.#file.describe(header);
  }

  /** Throws everything away. Nobody may be bringing anything. */
  async restart(header: JournalHeader, size: number | undefined): Promise<void> {
    await this.#file.idle();
    this.#dropBlocks();
    this.#order.restart();
    this.#kept = new Kept(NOTHING_KEPT);
    this.#tails = new Map();
    this.#size = size;
    this.#cursor = 0;
    await this.#file.restart(header);
  }

  /** Brings all to the disk and closes the file, which is whole. */
  async seal(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
  }

  /**
   * Closes the file and keeps, by what its journal says then, all bytes that could be written. Nobody may be bringing anything.
   * Answers whether there are any.
   */
  async close(header: JournalHeader): Promise<boolean> {
    try {
      await this.#file.idle();
      const tails: Tail[] = [];
      for (const block of this.#blocks.values()) {
        // What finds no room on the disk has to come again; what is there stays.
        if (block.filled > block.written) await this.#write(block, block.filled, false).catch(() => {});
        if (block.written % PIECE_BYTES !== 0) tails.push([block.index, block.written]);
      }
      this.#file.describe(header, [...tails, ...this.#tails]);
      return this.#file.isOfUse;
    } finally {
      this.#order.drop();
      this.#dropBlocks();
      await this.#file.close();
    }
  }

  /** Writes a block that is whole, and lets it be hashed. */
  #save(block: Block): void {
    block.whole = true;
    this.#submit(block, block.filled, true);
    this.#order.advance();
  }

  /** Writes, and lets those go on who waited for it. */
  #submit(block: Block, end: number, whole: boolean): void {
    this.#write(block, end, whole).then(
      () => this.#events.room(),
      (error) => this.failed(error),
    );
  }

  #write(block: Block, end: number, whole: boolean): Promise<void> {
    return this.#file.write(block, this.#tools.slabs.bytes(block.slab, 0, BLOCK_BYTES), end, whole);
  }

  /** The lowest block with bytes that nobody brings. */
  #nextMissing(): number | undefined {
    let lowest: number | undefined;
    for (const { index, claimed, filled } of this.#blocks.values()) {
      if (!claimed && filled < this.#lengthOf(index)) lowest = Math.min(index, lowest ?? index);
    }
    if (lowest !== undefined) return lowest;
    while (this.#isTaken(this.#cursor)) this.#cursor += 1;
    return this.#size !== undefined && this.#cursor * BLOCK_BYTES >= this.#size ? undefined : this.#cursor;
  }

  #claimBlock(index: number | undefined): Block | undefined {
    if (index === undefined || (this.#size !== undefined && index * BLOCK_BYTES >= this.#size)) return undefined;
    const known = this.#blocks.get(index);
    if (known !== undefined) {
      known.claimed = true;
      return known;
    }
    if (this.#blocks.size + this.#order.leaving >= this.#tools.quota()) return undefined;
    const slab = this.#tools.slabs.take();
    if (slab === undefined) return undefined;
    const here = this.#kept.bytesOf(index, this.#size);
    const block: Block = { index, slab, filled: here, submitted: here, written: here, claimed: true };
    if (here > 0) readSync(this.#file.fd, this.#tools.slabs.bytes(slab, 0, here), 0, here, index * BLOCK_BYTES);
    this.#blocks.set(index, block);
    this.#tails.delete(index);
    return block;
  }

  /** Whether nothing of a block is here or on its way. */
  #isAbsent(index: number): boolean {
    const block = this.#blocks.get(index);
    if (block !== undefined) return block.filled === 0 && !block.claimed;
    return index >= this.#order.next && this.#kept.bytesOf(index, this.#size) === 0;
  }

  #isTaken(index: number): boolean {
    return index < this.#order.next || this.#blocks.has(index) || this.#isKept(index);
  }

  #isKept(index: number): boolean {
    return this.#kept.hasWhole(index, this.#size);
  }

  #lengthOf(index: number): number {
    return blockLength(index, this.#size);
  }

  #dropBlocks(): void {
    const dropped = [...this.#blocks.values()];
    this.#blocks.clear();
    for (const { slab } of dropped) this.#tools.slabs.give(slab);
  }
}
