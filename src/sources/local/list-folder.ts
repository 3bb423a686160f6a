import type { BigIntStats, Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { DomainError } from "../../domain/errors.ts";
import { MAX_FILES } from "../files.ts";
import { isBelow, type LocalPlace, outside, unreadable } from "./roots.ts";

/** A file of a local source. */
export interface LocalFile {
  /** Relative to the folder that the source names. */
  readonly path: string;
  readonly realPath: string;
  readonly size: number;
  /** Changes when the file is written. */
  readonly version: string;
}

/** Folders that tools keep beside the files of a model: git's, and the bookkeeping of Hugging Face's downloads. */
const SKIPPED_FOLDERS = new Set([".git", ".cache"]);

/**
 * Lists a folder and all folders in it, or the one file that a source names.
 *
 * Folders `.git` and `.cache` are left out; other hidden files are not. Links to files are followed if they stay below the
 * same root, as in the layout of Hugging Face's cache; links to folders are refused, since they can form circles. What is
 * neither file nor folder is refused.
 */
export async function listFolder(place: LocalPlace, signal: AbortSignal): Promise<LocalFile[]> {
  const files: LocalFile[] = [];
  const top = await statOf(place.realPath, place.named);
  if (!top.isDirectory()) {
    add(files, basename(place.named), place.realPath, place.named, top);
    return files;
  }
  const folders = [""];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    for (const entry of await entriesOf(join(place.realPath, folder), join(place.named, folder))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!SKIPPED_FOLDERS.has(entry.name)) folders.push(path);
      } else {
        await addEntry(files, place, path, entry);
      }
    }
  }
  return files;
}

async function addEntry(files: LocalFile[], place: LocalPlace, path: string, entry: Dirent): Promise<void> {
  const named = join(place.named, path);
  const direct = join(place.realPath, path);
  const realPath = entry.isSymbolicLink()
    ? await realpath(direct).catch((error: unknown) => {
        throw unreadable(error, named);
      })
    : direct;
  if (!isBelow(realPath, place.realRoot)) throw outside(named);
  const stats = await statOf(realPath, named);
  if (stats.isDirectory()) {
    throw new DomainError("PATH_NOT_ALLOWED", `'${named}' is a link to a folder, which is not followed`);
  }
  add(files, path, realPath, named, stats);
}

function add(files: LocalFile[], path: string, realPath: string, named: string, stats: BigIntStats): void {
  if (!stats.isFile()) {
    // A pipe would block, a device never end.
    throw new DomainError("PATH_NOT_ALLOWED", `'${named}' is neither a file nor a folder`);
  }
  if (files.length >= MAX_FILES) throw new DomainError("FIELD_INVALID", `the source has more than ${MAX_FILES} files`);
  files.push({ path, realPath, size: Number(stats.size), version: versionOf(stats) });
}

/** What changes when a file is written or replaced: its size, when, and which one it is. */
export function versionOf({ size, mtimeNs, ino }: BigIntStats): string {
  return `${size}-${mtimeNs}-${ino}`;
}

async function statOf(realPath: string, named: string): Promise<BigIntStats> {
  try {
    return await stat(realPath, { bigint: true });
  } catch (error) {
    throw unreadable(error, named);
  }
}

async function entriesOf(realPath: string, named: string): Promise<Dirent[]> {
  try {
    return await readdir(realPath, { withFileTypes: true });
  } catch (error) {
    throw unreadable(error, named);
  }
}
