import type { Digest } from "../domain/digest.ts";
import { assertDistinctPaths } from "../domain/file-path.ts";
import type { VersionFile } from "../domain/model.ts";
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

/** What the bytes of a group are. */
export interface Content {
  readonly size: number;
  /** What the version has of them: a file for each path, or the files of an archive. */
  readonly files: readonly VersionFile[];
}

/** A group whose bytes, or whose archive's files, are in the store, referred to by the download. */
type PresentGroup = FileGroup & Content;

/** What there is to do for a download. */
export interface Plan {
  readonly present: readonly PresentGroup[];
  readonly missing: readonly FileGroup[];
}

/** Where a plan looks for what is there already. */
interface PlanTools {
  readonly jobs: Pick<DownloadJobs, "reuse" | "reuseUnpacked">;
  readonly store: Pick<BlobStore, "stat">;
}

/** Sorts a source's files by whether the store has their bytes already; what it has is kept for this download from then on. */
export async function planDownload({ files }: ResolvedSource, lease: Lease, tools: PlanTools): Promise<Plan> {
  const { jobs } = tools;
  assertDistinctPaths(
    files.map(({ path }) => path),
    (index) => `files[${index}].path`,
  );
  const groups = groupByContent(files);
  const digests = groups.flatMap(({ file: { digest, unpack } }) =>
    digest === undefined || unpack !== undefined ? [] : [digest],
  );
  const recorded = digests.length > 0 ? await jobs.reuse(lease, digests) : new Map<Digest, number>();
  const present: PresentGroup[] = [];
  const missing: FileGroup[] = [];
  for (const group of groups) {
    const content = group.file.unpack
      ? await recallArchive(tools, lease, group.file)
      : await recall(group, recorded, tools);
    if (content !== undefined) present.push({ ...group, ...content });
    else missing.push(group);
  }
  return { present, missing };
}

/** What an archive holds that is wanted of it, if it was unpacked before and the store has all of its files. */
export async function recallArchive(
  tools: PlanTools,
  lease: Lease,
  { digest, size = 0, unpack }: SourceFile,
): Promise<Content | undefined> {
  const held = digest && (await tools.jobs.reuseUnpacked(lease, digest));
  if (held === undefined || !(await isInStore({ size, files: held }, tools))) return undefined;
  const { takes = () => true } = unpack ?? {};
  return { size, files: held.filter(({ path }) => takes(path)) };
}

async function recall(
  { file: { digest }, paths }: FileGroup,
  recorded: ReadonlyMap<Digest, number>,
  tools: PlanTools,
): Promise<Content | undefined> {
  const size = digest && recorded.get(digest);
  if (digest === undefined || size === undefined) return undefined;
  const content = contentOf(paths, digest, size);
  return (await isInStore(content, tools)) ? content : undefined;
}

/** What bytes are that are no archive. */
export function contentOf(paths: readonly string[], digest: Digest, size: number): Content {
  return { size, files: paths.map((path) => ({ path, size, digest })) };
}

/** The record may know a blob that somebody took out of the store's folder, or cut short there. */
async function isInStore({ files }: Content, { store }: PlanTools): Promise<boolean> {
  for (const [digest, size] of new Map(files.map((file) => [file.digest, file.size]))) {
    if ((await store.stat(digest))?.size !== size) return false;
  }
  return true;
}

function groupByContent(files: readonly SourceFile[]): FileGroup[] {
  const groups = new Map<string, { file: SourceFile; paths: string[] }>();
  for (const file of files) {
    const bytes = file.digest ?? `identity ${file.identity}`;
    const content = file.unpack === undefined ? bytes : `files of ${bytes}`;
    const group = groups.get(content);
    if (group === undefined) groups.set(content, { file, paths: [file.path] });
    else group.paths.push(file.path);
  }
  return [...groups.values()];
}
