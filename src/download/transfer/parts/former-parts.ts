import { stat } from "node:fs/promises";
import type { Lease } from "../../../domain/ports/download-jobs.ts";
import type { SourceFile } from "../../../domain/ports/sources.ts";
import { isMissing } from "../../../lib/system-error.ts";
import { originKeys } from "../origin-choice.ts";
import type { IsLive } from "../transfer.ts";
import { Bitmap } from "./bitmap.ts";
import { BLOCK_BYTES, PIECE_BYTES } from "./blocks.ts";
import { contentKey, isChecked } from "./content-key.ts";
import { type JournalRecord, readJournal } from "./journal.ts";
import { Kept, type KeptBytes, NOTHING_KEPT } from "./kept.ts";
import { listParts, type PartName } from "./part-names.ts";

/** Who looks for parts. */
export interface PartSeeker {
  readonly spool: string;
  readonly isLive: IsLive;
  readonly bootId: string;
  /** Names this process in journals. */
  readonly writer: string;
  /** Whether no other process can have parts open: then those of earlier ones are taken over as they are. */
  readonly alone: boolean;
  /** Paths of the parts that this process has open or is about to open. */
  readonly open: Set<string>;
}

/** A part that an earlier transfer left, which nobody but the holder of the lease may go on with. */
export interface FormerPart {
  readonly name: PartName;
  readonly journal: JournalRecord | undefined;
  /** What of it can be relied on. */
  readonly kept: KeptBytes;
  /** How many bytes that is. */
  readonly bytes: number;
  /** Whether another process may still hold the file open, so that it can be read but not taken over. */
  readonly foreign: boolean;
}

/**
 * The parts of a file's content that the holder of `lease` may go on with, those with the most trusted bytes first: its
 * own from earlier epochs, and those of downloads that have ended.
 */
export async function findFormerParts(seeker: PartSeeker, lease: Lease, file: SourceFile): Promise<FormerPart[]> {
  const found: FormerPart[] = [];
  for (const name of await listParts(seeker.spool, contentKey(file))) {
    const own = name.downloadId === lease.downloadId;
    const free = own ? name.epoch < lease.epoch : !(await seeker.isLive(name.downloadId));
    if (!free || seeker.open.has(name.dataPath)) continue;
    const journal = await readJournal(name.journalPath);
    const kept = await keptOf(name, journal, file, seeker.bootId);
    const bytes = new Kept(kept).total(file.size ?? journal?.size);
    found.push({ name, journal, kept, bytes, foreign: !seeker.alone && journal?.writer !== seeker.writer });
  }
  return found.sort((a, b) => b.bytes - a.bytes);
}

async function keptOf(
  { dataPath }: PartName,
  journal: JournalRecord | undefined,
  file: SourceFile,
  bootId: string,
): Promise<KeptBytes> {
  if (journal === undefined) return NOTHING_KEPT;
  const { size, validator, origin, written, synced, tails } = journal;
  if (file.size !== undefined && size !== undefined && file.size !== size) return NOTHING_KEPT;
  const pinned = validator !== undefined && originKeys(file.origins).includes(origin ?? "");
  if (!isChecked(file) && !pinned) return NOTHING_KEPT;
  // What was written but not synced is in the memory of the machine, as long as that was not started anew.
  const sameBoot = bootId !== "" && journal.bootId === bootId;
  const length = await fileSize(dataPath);
  const pieces = new Bitmap();
  const claimed = sameBoot ? written : synced;
  for (let piece = 0; piece < claimed.bytes.length * 8; piece += 1) {
    const end = Math.min((piece + 1) * PIECE_BYTES, file.size ?? size ?? Number.POSITIVE_INFINITY);
    if (claimed.has(piece) && end <= length) pieces.set(piece);
  }
  const isThere = ([block, bytes]: readonly [number, number]) => block * BLOCK_BYTES + bytes <= length;
  return { pieces: pieces.bytes, tails: sameBoot ? tails.filter(isThere) : [] };
}

async function fileSize(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}
