import { createHash } from "node:crypto";
import type { VersionFile } from "../domain/model.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { DownloadJobs } from "../domain/ports/download-jobs.ts";
import type { SourceFile } from "../domain/ports/sources.ts";
import { mapConcurrently } from "../lib/map-concurrently.ts";

const READS_AT_ONCE = 8;

/** Where files are looked for. */
interface RecogniseTools {
  readonly jobs: Pick<DownloadJobs, "filesAt">;
  readonly store: Pick<BlobStore, "read">;
}

/**
 * The same files, but that those known by git's hash alone have the digest of what a version of the model has at their
 * path, if those bytes have that hash: they need not be asked for again.
 */
export async function recogniseFiles(
  files: readonly SourceFile[],
  modelId: string,
  { jobs, store }: RecogniseTools,
  signal: AbortSignal,
): Promise<readonly SourceFile[]> {
  const unknown = files.filter(({ digest, gitBlobSha1 }) => digest === undefined && gitBlobSha1 !== undefined);
  if (unknown.length === 0) return files;
  const paths = unknown.map(({ path }) => path);
  const known = Map.groupBy(await jobs.filesAt(modelId, paths), ({ path }) => path);
  if (known.size === 0) return files;
  return await mapConcurrently(files, READS_AT_ONCE, signal, async (file) => {
    if (file.digest !== undefined || file.gitBlobSha1 === undefined) return file;
    for (const candidate of known.get(file.path) ?? []) {
      if (candidate.size !== file.size) continue;
      if ((await gitBlobSha1(store, candidate)) === file.gitBlobSha1) return { ...file, digest: candidate.digest };
    }
    return file;
  });
}

/** Git's hash of a blob object of the store's bytes; undefined if they cannot be read. */
async function gitBlobSha1(store: RecogniseTools["store"], { digest, size }: VersionFile): Promise<string | undefined> {
  const hash = createHash("sha1").update(`blob ${size}\0`);
  try {
    for await (const bytes of await store.read(digest)) hash.update(bytes);
  } catch {
    return undefined;
  }
  return hash.digest("hex");
}
