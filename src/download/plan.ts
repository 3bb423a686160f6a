import type { Digest } from "../domain/digest.ts";
import { assertDistinctPaths } from "../domain/file-path.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { DownloadJobs, Lease } from "../domain/ports/download-jobs.ts";
import type { ResolvedSource, SourceFile } from "../domain/ports/sources.ts";

/** Files of a download that have the same bytes, so that these are needed once. */
export interface FileGroup {
  /** How to get the bytes. */
  readonly file: SourceFile;
  /** All paths that they go by; at least one. */
  readonly paths: readonly string[];
}

/** A group whose bytes are in the store, referred to by the download. */
interface PresentGroup extends FileGroup {
  readonly digest: Digest;
  readonly size: number;
}

/** What there is to do for a download. */
export interface Plan {
  readonly present: readonly PresentGroup[];
  readonly missing: readonly FileGroup[];
}

/** Sorts a source's files by whether the store has their bytes already; what it has is kept for this download from then on. */
export async function planDownload(
  { files }: ResolvedSource,
  lease: Lease,
  jobs: Pick<DownloadJobs, "reuse">,
  store: Pick<BlobStore, "stat">,
): Promise<Plan> {
  assertDistinctPaths(
    files.map(({ path }) => path),
    (index) => `files[${index}].path`,
  );
  const groups = groupByContent(files);
  const digests = groups.flatMap(({ file }) => (file.digest === undefined ? [] : [file.digest]));
  const recorded = digests.length > 0 ? await jobs.reuse(lease, digests) : new Map<Digest, number>();
  const present: PresentGroup[] = [];
  const missing: FileGroup[] = [];
  for (const group of groups) {
    const { digest } = group.file;
    const size = digest && recorded.get(digest);
    // The record may know a blob that somebody took out of the store's folder, or cut short there.
    const isThere = digest !== undefined && size !== undefined && (await store.stat(digest))?.size === size;
    if (isThere) present.push({ ...group, digest, size });
    else missing.push(group);
  }
  return { present, missing };
}

function groupByContent(files: readonly SourceFile[]): FileGroup[] {
  const groups = new Map<string, { file: SourceFile; paths: string[] }>();
  for (const file of files) {
    const content = file.digest ?? `identity ${file.identity}`;
    const group = groups.get(content);
    if (group === undefined) groups.set(content, { file, paths: [file.path] });
    else group.paths.push(file.path);
  }
  return [...groups.values()];
}
