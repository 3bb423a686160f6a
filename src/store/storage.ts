import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { BlobRecords, Collection, Storage, StoredBlob } from "../domain/ports/storage.ts";
import { onDisk } from "./disk-errors.ts";

export interface StorageOptions {
  readonly store: BlobStore;
  readonly records: BlobRecords;
  /** What running downloads will still need, in bytes. */
  readonly reservedBytes: () => number;
}

const BATCH = 200;
const MOST_NAMED = 1000;

/** Joins what the store holds with what the registry knows of it. */
export function createStorage({ store, records, reservedBytes }: StorageOptions): Storage {
  return {
    async usage() {
      const [space, known, partBytes] = await Promise.all([
        store.space(),
        records.usage(),
        onDisk(() => sizeBelow(store.spoolDirectory)),
      ]);
      return { ...space, ...known, partBytes, reservedBytes: reservedBytes() };
    },

    async collect({ graceMs, dryRun, signal }) {
      const taken: StoredBlob[] = [];
      let blobCount = 0;
      let freedBytes = 0;
      for await (const blob of unusedBlobs(records, graceMs)) {
        signal.throwIfAborted();
        const goes = dryRun || (await records.forget(blob.digest, graceMs, () => store.remove(blob.digest)));
        if (!goes) continue;
        if (taken.length < MOST_NAMED) taken.push(blob);
        blobCount += 1;
        freedBytes += blob.size;
      }
      return { blobs: taken, blobCount, freedBytes } satisfies Collection;
    },
  };
}

async function* unusedBlobs(records: BlobRecords, graceMs: number): AsyncGenerator<StoredBlob> {
  let after: StoredBlob | undefined;
  do {
    const batch = await records.unused(graceMs, BATCH, after?.digest);
    yield* batch;
    after = batch.length < BATCH ? undefined : batch.at(-1);
  } while (after !== undefined);
}

/** The sizes of all files below a folder; what goes away meanwhile counts nothing. */
async function sizeBelow(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map((entry) => lstat(join(entry.parentPath, entry.name)).catch(() => ({ size: 0 })));
  return (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0);
}
