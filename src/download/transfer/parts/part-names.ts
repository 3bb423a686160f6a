import { readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Lease } from "../../../domain/ports/download-jobs.ts";
import { isMissing, systemCode } from "../../../lib/system-error.ts";

/** The files of one part: `<spool>/<content key>/<download id>.<epoch>.part`, and its journal beside it. */
export interface PartName {
  readonly folder: string;
  readonly downloadId: string;
  readonly epoch: number;
  readonly dataPath: string;
  readonly journalPath: string;
}

const PART = /^([0-9a-f-]{36})\.(\d+)\.part$/;
const OWNED = /^([0-9a-f-]{36})\.\d+\.(?:part|journal)$/;

/** The name of the part that the holder of `lease` writes for the content called `key`. */
export function partName(spool: string, key: string, { downloadId, epoch }: Lease): PartName {
  const folder = join(spool, key);
  const stem = join(folder, `${downloadId}.${epoch}`);
  return { folder, downloadId, epoch, dataPath: `${stem}.part`, journalPath: `${stem}.journal` };
}

/** The parts there are of the content called `key`, whoever wrote them. */
export async function listParts(spool: string, key: string): Promise<PartName[]> {
  const names = await namesIn(join(spool, key));
  return names.flatMap((name) => {
    const [, downloadId, epoch] = PART.exec(name) ?? [];
    return downloadId === undefined ? [] : [partName(spool, key, { downloadId, epoch: Number(epoch) })];
  });
}

/** The download that a file in a content's folder belongs to; undefined if it is none of ours. */
export function ownerOf(fileName: string): string | undefined {
  return OWNED.exec(fileName)?.[1];
}

/** The names in a folder; none if it does not exist. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isMissing(error) || systemCode(error) === "ENOTDIR") return [];
    throw error;
  }
}

/** Takes a content's folder away if nothing is left in it. */
export async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    const code = systemCode(error);
    if (code !== "ENOENT" && code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
}
