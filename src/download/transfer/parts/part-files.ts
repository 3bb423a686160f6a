import { type FileHandle, open, rm } from "node:fs/promises";
import { partError } from "../../../domain/part-error.ts";
import { makeFolder } from "../../../lib/make-folder.ts";
import { isMissing } from "../../../lib/system-error.ts";
import { type PartName, removeIfEmpty } from "./part-names.ts";

/**
 * Makes the part's file, which must not exist, in a folder that another process may be taking away as empty. The spool must
 * exist: were it missing, the disk would not be the store's.
 */
export async function createFile({ folder, dataPath }: PartName): Promise<FileHandle> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await makeFolder(folder);
      return await open(dataPath, "wx+", 0o640);
    } catch (error) {
      if (!isMissing(error) || attempt === 3) throw partError(error);
    }
  }
}

/** Takes a part away, with its journal and its folder if nothing else is in it. */
export async function removePart({ folder, dataPath, journalPath }: PartName): Promise<void> {
  await rm(dataPath, { force: true });
  await rm(journalPath, { force: true });
  await removeIfEmpty(folder);
}
