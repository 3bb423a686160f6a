import { readFileSync, writeFileSync } from "node:fs";
import { Bitmap } from "../../../src/download/transfer/parts/bitmap.ts";
import { type JournalRecord, readJournal } from "../../../src/download/transfer/parts/journal.ts";

const HEADER_BYTES = 8192;

/** Where the journal of the part at `path` is. */
export function journalOf(path: string): string {
  return path.replace(/part$/, "journal");
}

/** The journal of the part at `path`, which must have one. */
export async function journalAt(path: string): Promise<JournalRecord> {
  const journal = await readJournal(journalOf(path));
  if (journal === undefined) throw new Error("the part has no journal");
  return journal;
}

/** Changes fields in the header of a part's journal, and says of so many of its first pieces that they are synced. */
export function editJournal(path: string, changes: object, syncedPieces = 0): void {
  const bytes = readFileSync(journalOf(path));
  const header = JSON.parse(bytes.toString("utf8", 0, HEADER_BYTES));
  bytes.write(JSON.stringify({ ...header, ...changes }).padEnd(HEADER_BYTES), 0);
  const synced = new Bitmap();
  for (let piece = 0; piece < syncedPieces; piece += 1) synced.set(piece);
  for (const [at, byte] of synced.bytes.entries()) {
    if (HEADER_BYTES + 2 * at + 1 < bytes.length) bytes[HEADER_BYTES + 2 * at + 1] = byte;
  }
  writeFileSync(journalOf(path), bytes);
}
