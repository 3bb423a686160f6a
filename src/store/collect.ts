import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { BlobRecords, Collection, StoredBlob } from "../domain/ports/storage.ts";

/** What a collection works on. */
export interface CollectTools {
  readonly store: Pick<BlobStore, "remove">;
  readonly records: Pick<BlobRecords, "unused" | "forget">;
}

const BATCH = 200;
const MOST_NAMED = 1000;

/** Takes away blobs that nothing uses; see `Storage.collect`. */
export async function collect(
  { store, records }: CollectTools,
  { graceMs, dryRun, signal }: { graceMs: number; dryRun: boolean; signal?: AbortSignal },
): Promise<Omit<Collection, "quarantineBytes">> {
  const taken: StoredBlob[] = [];
  let blobCount = 0;
  let freedBytes = 0;
  for await (const blob of unusedBlobs(records, graceMs)) {
    signal?.throwIfAborted();
    const goes = dryRun || (await records.forget(blob.digest, graceMs, () => store.remove(blob.digest)));
    if (!goes) continue;
    if (taken.length < MOST_NAMED) taken.push(blob);
    blobCount += 1;
    freedBytes += blob.size;
  }
  return { blobs: taken, blobCount, freedBytes };
}

async function* unusedBlobs(records: CollectTools["records"], graceMs: number): AsyncGenerator<StoredBlob> {
  let after: StoredBlob | undefined;
  do {
    const batch = await records.unused(graceMs, BATCH, after?.digest);
    yield* batch;
    after = batch.length < BATCH ? undefined : batch.at(-1);
  } while (after !== undefined);
}
