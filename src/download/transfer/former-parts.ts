import { stat } from "node:fs/promises";
import type { Lease } from "../../domain/ports/download-jobs.ts";
import type { SourceFile } from "../../domain/ports/sources.ts";
import { isMissing } from "../../lib/system-error.ts";
import { contentKey, isChecked } from "./content-key.ts";
import { originKeys } from "./origin-choice.ts";
import type { PartTools } from "./part.ts";
import { listParts, type PartName } from "./part-names.ts";
import { type PartRecord, readRecord } from "./part-record.ts";
import type { IsLive } from "./transfer.ts";

/** A part that an earlier transfer left, which nobody but the holder of the lease may go on with. */
export interface FormerPart {
  readonly name: PartName;
  readonly record: PartRecord | undefined;
  /** How many of its first bytes can be relied on. */
  readonly trusted: number;
  /** Whether another process may still hold the file open, so that it can be read but not taken over. */
  readonly foreign: boolean;
}

/**
 * The parts of a file's content that the holder of `lease` may go on with, those with the most trusted bytes first: its
 * own from earlier epochs, and those of downloads that have ended.
 */
export async function findFormerParts(
  spool: string,
  lease: Lease,
  file: SourceFile,
  tools: PartTools,
  isLive: IsLive,
): Promise<FormerPart[]> {
  const found: FormerPart[] = [];
  for (const name of await listParts(spool, contentKey(file))) {
    const own = name.downloadId === lease.downloadId;
    const free = own ? name.epoch < lease.epoch : !(await isLive(name.downloadId));
    if (!free || tools.open.has(name.dataPath)) continue;
    const record = await readRecord(name.recordPath);
    const foreign = record?.writer !== tools.writer;
    const trusted = await trustedLength(name, record, file, tools.bootId);
    found.push({ name, record, trusted, foreign });
  }
  return found.sort((a, b) => b.trusted - a.trusted);
}

async function trustedLength(
  { dataPath }: PartName,
  record: PartRecord | undefined,
  file: SourceFile,
  bootId: string,
): Promise<number> {
  if (record === undefined) return 0;
  if (file.size !== undefined && record.size !== undefined && file.size !== record.size) return 0;
  const pinned = record.validator !== undefined && originKeys(file.origins).includes(record.origin ?? "");
  if (!isChecked(file) && !pinned) return 0;
  // What was written but not synced is in the memory of the machine, as long as that was not started anew.
  const sameBoot = bootId !== "" && record.bootId === bootId;
  const length = Math.min(sameBoot ? record.written : record.synced, await fileSize(dataPath));
  return length > (file.size ?? record.size ?? length) ? 0 : length;
}

async function fileSize(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}
