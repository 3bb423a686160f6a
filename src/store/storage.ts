import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { BlobRecords, Storage } from "../domain/ports/storage.ts";
import { collect } from "./collect.ts";
import { onDisk } from "./disk-errors.ts";
import { type VerifyTools, verifyStorage } from "./verify-storage.ts";

export interface StorageOptions extends VerifyTools {
  readonly store: BlobStore;
  readonly records: BlobRecords;
  /** What running downloads will still need, in bytes. */
  readonly reservedBytes: () => number;
  /** The most bytes that blobs may take; absent for no quota. */
  readonly quotaBytes?: number;
}

/** Joins what the store holds with what the registry knows of it. */
export function createStorage(options: StorageOptions): Storage {
  const { store, records, reservedBytes, quotaBytes } = options;
  return {
    async usage() {
      const [space, known, partBytes, quarantineBytes] = await Promise.all([
        store.space(),
        records.usage(),
        onDisk(() => sizeBelow(store.spoolDirectory)),
        store.emptyQuarantine(0, true),
      ]);
      return { ...space, ...known, partBytes, quarantineBytes, reservedBytes: reservedBytes(), quotaBytes };
    },
    async collect(wish) {
      const collected = await collect(options, wish);
      return { ...collected, quarantineBytes: await store.emptyQuarantine(wish.graceMs, wish.dryRun) };
    },
    verify: (wish) => verifyStorage(options, wish),
  };
}

/** The sizes of all files below a folder; what goes away meanwhile counts nothing. */
async function sizeBelow(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map((entry) => lstat(join(entry.parentPath, entry.name)).catch(() => ({ size: 0 })));
  return (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0);
}
