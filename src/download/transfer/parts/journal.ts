import { closeSync, openSync, writeSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { z } from "zod";
import { Bitmap } from "./bitmap.ts";

const schema = z.object({
  format: z.literal(2),
  /** Bytes of the whole file, once known. */
  size: z.int().nonnegative().optional(),
  /** Pins the object at `origin`. */
  validator: z.string().optional(),
  /** Which of the file's origins the bytes came from last. */
  origin: z.string().optional(),
  /** The boot of the machine that the written pieces hold for; empty if it cannot be told. */
  bootId: z.string(),
  /** The process that wrote the part. */
  writer: z.string(),
  /** Of blocks that were given up in the middle: how many of their first bytes are written. */
  tails: z.array(z.tuple([z.int().nonnegative(), z.int().nonnegative()])).default([]),
});

/** What a journal says of its part as a whole. */
export type JournalHeader = Omit<z.infer<typeof schema>, "format" | "tails">;

/** How many of a block's first bytes are written. */
export type Tail = readonly [block: number, bytes: number];

/** A journal as it was found. */
export interface JournalRecord extends JournalHeader {
  readonly tails: readonly Tail[];
  /** Pieces that were handed to the system: they outlive the process, not the machine. */
  readonly written: Bitmap;
  /** Pieces that are on the disk: they outlive the machine. */
  readonly synced: Bitmap;
}

/**
 * A journal is a header of fixed length, then bytes of two bitmaps in turn: of pieces written, of pieces synced. Both grow
 * with a file whose size nobody knows.
 */
const HEADER_BYTES = 8192;
/** A validator that is longer is as good as none. */
const MAX_VALIDATOR = 4096;

function encodeHeader({ validator, ...header }: JournalHeader, tails: readonly Tail[]): Buffer {
  const kept = validator !== undefined && validator.length <= MAX_VALIDATOR ? validator : undefined;
  const text = JSON.stringify({ format: 2, ...header, validator: kept, tails });
  return Buffer.from(text.padEnd(HEADER_BYTES));
}

function interleave(written: Uint8Array, synced: Uint8Array): Buffer {
  const pairs = Buffer.alloc(written.length * 2);
  for (let at = 0; at < written.length; at += 1) {
    pairs[2 * at] = written[at] ?? 0;
    pairs[2 * at + 1] = synced[at] ?? 0;
  }
  return pairs;
}

/** The journal at `path`, or undefined if there is none that can be read. */
export async function readJournal(path: string): Promise<JournalRecord | undefined> {
  try {
    const bytes = await readFile(path);
    const { format: _, ...header } = schema.parse(JSON.parse(bytes.toString("utf8", 0, HEADER_BYTES)));
    const pairs = bytes.subarray(HEADER_BYTES);
    const every = (first: number) => new Bitmap(pairs.filter((_byte, at) => at % 2 === first));
    return { ...header, written: every(0), synced: every(1) };
  } catch {
    return undefined;
  }
}

/** Makes a journal that vouches for `written`, all of which is synced. */
export async function writeJournal(path: string, header: JournalHeader, written: Bitmap): Promise<void> {
  await rm(path, { force: true });
  const body = interleave(written.bytes, written.bytes);
  await writeFile(path, Buffer.concat([encodeHeader(header, []), body]), { flag: "wx", mode: 0o640 });
}

/**
 * The journal of a part that is being written. It is in force in the system's memory as soon as a call returns, which a kill
 * of the process cannot undo; what is known to be on the disk is told apart. The file is made with the first mark.
 */
export class Journal {
  readonly #path: string;
  readonly #written: Bitmap;
  readonly #synced: Bitmap;
  #header: JournalHeader;
  #tails: readonly Tail[] = [];
  #fd: number | undefined;

  /** Goes on with what `written` says, of which nothing is taken for synced unless the file at `path` says so. */
  constructor(path: string, header: JournalHeader, written: Bitmap, synced: Bitmap) {
    this.#path = path;
    this.#header = header;
    this.#written = written;
    this.#synced = synced;
  }

  /** Notes a piece whose bytes are in the file. */
  wrote(piece: number): void {
    this.#written.set(piece);
    if (this.#fd === undefined) this.#create();
    else this.#save(piece >> 3);
  }

  /** All that is noted as written now; to be given to {@link Journal.synced} once the file was synced after this. */
  snapshot(): Uint8Array {
    return this.#written.bytes.slice();
  }

  /** Notes that the pieces of a snapshot are on the disk. */
  synced(snapshot: Uint8Array): void {
    if (this.#fd === undefined) return;
    for (let at = 0; at < snapshot.length; at += 1) {
      const bits = snapshot[at] ?? 0;
      if (bits === (this.#synced.bytes[at] ?? 0)) continue;
      for (let bit = 0; bit < 8; bit += 1) if ((bits >> bit) & 1) this.#synced.set(at * 8 + bit);
      this.#save(at);
    }
  }

  /** Says anew what the part is. */
  describe(header: JournalHeader, tails: readonly Tail[] = []): void {
    this.#header = header;
    this.#tails = tails;
    if (this.#fd === undefined && tails.length > 0) this.#create();
    if (this.#fd !== undefined) writeSync(this.#fd, encodeHeader(header, tails), 0, HEADER_BYTES, 0);
  }

  /** Whether it vouches for anything. */
  get vouches(): boolean {
    return this.#fd !== undefined && (this.#written.count() > 0 || this.#tails.length > 0);
  }

  /** The descriptor to sync; undefined while there is no file. */
  get fd(): number | undefined {
    return this.#fd;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #create(): void {
    this.#fd = openSync(this.#path, "w", 0o640);
    const body = interleave(this.#written.bytes, this.#synced.bytes);
    writeSync(this.#fd, Buffer.concat([encodeHeader(this.#header, []), body]), 0, HEADER_BYTES + body.length, 0);
  }

  #save(at: number): void {
    const pair = new Uint8Array([this.#written.bytes[at] ?? 0, this.#synced.bytes[at] ?? 0]);
    writeSync(this.#fd ?? -1, pair, 0, 2, HEADER_BYTES + 2 * at);
  }
}
