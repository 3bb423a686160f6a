import { open } from "node:fs/promises";

/** Syncs that have not begun, by their folder: they will bring all names to the disk that are there by then. */
const waiting = new Map<string, Promise<void>>();
const running = new Map<string, Promise<void>>();

/**
 * Makes the names that were put into a folder survive a loss of power. Many who ask for the same folder at the same time wait
 * for one sync, the first to begin after they asked.
 */
export function syncFolder(folder: string): Promise<void> {
  const next = waiting.get(folder) ?? begin(folder);
  waiting.set(folder, next);
  return next;
}

async function begin(folder: string): Promise<void> {
  await running.get(folder)?.catch(() => {});
  waiting.delete(folder);
  const sync = syncNow(folder);
  running.set(folder, sync);
  try {
    await sync;
  } finally {
    if (running.get(folder) === sync) running.delete(folder);
  }
}

async function syncNow(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}
