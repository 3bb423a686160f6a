import { mkdir } from "node:fs/promises";
import { systemCode } from "./system-error.ts";

/** The mode of folders: closed to strangers. */
export const FOLDER_MODE = 0o750;

/** Makes one folder unless it is there, for its owner and its group alone. ENOENT if the one that it is to lie in is missing. */
export async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: FOLDER_MODE });
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  }
}
