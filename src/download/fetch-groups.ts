import type { Digest } from "../domain/digest.ts";
import { DomainError, isDomainError } from "../domain/errors.ts";
import { failureOf } from "../domain/failure.ts";
import { assertDistinctPaths } from "../domain/file-path.ts";
import type { VersionFile } from "../domain/model.ts";
import type { Unpacking } from "../domain/ports/sources.ts";
import { mapConcurrently } from "../lib/map-concurrently.ts";
import { Semaphore } from "../lib/semaphore.ts";
import type { Job, JobTools } from "./job.ts";
import { record } from "./job-record.ts";
import { type Content, contentOf, type FileGroup, type Plan, recallArchive } from "./plan.ts";
import { joinLimiters, type RateLimiter } from "./rate-limit.ts";
import type { TransferObserver, TransferredFile } from "./transfer/transfer.ts";
import { unpackArchive } from "./unpack-archive.ts";

/** Files of one download that are on their way at once: most of the time of small ones is waiting for the disk. */
const FILES_AT_ONCE = 16;
/** Of these, so many may be large. */
const LARGE_AT_ONCE = 4;
const LARGE_BYTES = 16 * 1024 * 1024;

/** Brings everything that a plan misses into the store; answers all files of the version. */
export async function fetchGroups(tools: JobTools, job: Job, { present, missing }: Plan): Promise<VersionFile[]> {
  const files: VersionFile[] = [];
  const complete = ({ paths }: FileGroup, content: Content) => {
    for (const path of paths) job.progress.complete(path, content.size);
    files.push(...content.files);
  };
  for (const group of present) complete(group, group);
  const limiter = joinLimiters(tools.limiter, job.limiter);
  const large = new Semaphore(LARGE_AT_ONCE);
  await mapConcurrently(missing, FILES_AT_ONCE, job.signal, async (group, _index, signal) => {
    const isLarge = group.file.unpack !== undefined || (group.file.size ?? LARGE_BYTES) >= LARGE_BYTES;
    const release = isLarge ? await large.acquire(signal) : undefined;
    try {
      complete(group, await fetchGroup(tools, { ...job, signal }, group, limiter));
    } finally {
      release?.();
    }
  });
  // Only now is it known what archives hold.
  if (files.length === 0) {
    throw new DomainError("SOURCE_FILE_NOT_FOUND", "the source's archives hold no file that is wanted");
  }
  assertDistinctPaths(
    files.map(({ path }) => path),
    (index) => `the source's files, those of its archives included: '${files[index]?.path}'`,
  );
  return files;
}

function fetchGroup(tools: JobTools, job: Job, group: FileGroup, limiter: RateLimiter): Promise<Content> {
  const { file, paths } = group;
  const { digest } = file;
  if (file.unpack !== undefined) return fetchArchive(tools, job, group, file.unpack, limiter);
  if (digest === undefined) return transferGroup(tools, job, group, limiter);
  return tools.contents.run(digest, job.signal, async () => {
    const found = await adopt(tools, job, digest, file.size);
    return found === undefined ? transferGroup(tools, job, group, limiter) : contentOf(paths, digest, found.size);
  });
}

/** Brings the files of an archive into the store, which does not keep the archive itself. */
function fetchArchive(
  tools: JobTools,
  job: Job,
  group: FileGroup,
  unpacking: Unpacking,
  limiter: RateLimiter,
): Promise<Content> {
  const { file, paths } = group;
  const [name = ""] = paths;
  const key = `files of ${file.digest ?? file.identity}`;
  return tools.contents.run(key, job.signal, async () => {
    // Whoever held the lock before may have unpacked it.
    const held = await record(tools, job, () => recallArchive(tools, job.lease, file));
    if (held !== undefined) return held;
    const archive = await transfer(tools, job, group, limiter);
    return { size: archive.size, files: await unpackArchive(tools, job, { ...archive, name, unpacking }) };
  });
}

/**
 * Takes a blob that is in the store by now though the plan did not have it. Only the record says that bytes are verified: those
 * that it does not know, as after the database was restored, are hashed first.
 */
async function adopt(
  tools: JobTools,
  job: Job,
  digest: Digest,
  expected: number | undefined,
): Promise<{ readonly size: number } | undefined> {
  const { store, jobs } = tools;
  const { lease, signal } = job;
  const found = await store.stat(digest);
  if (found === undefined || found.size !== (expected ?? found.size)) return undefined;
  const { size } = found;
  const recorded = await record(tools, job, () => jobs.reuse(lease, [digest]));
  if (recorded.get(digest) === size) return { size };
  if ((await store.verify(digest, { signal })).found !== "intact") return undefined;
  const stillThere = async () => {
    if ((await store.stat(digest))?.size !== size) throw new DomainError("BLOB_NOT_FOUND", `blob not found: ${digest}`);
  };
  try {
    await record(tools, job, () => jobs.admit(lease, digest, size, stillThere));
    return { size };
  } catch (error) {
    if (isDomainError(error, "BLOB_NOT_FOUND")) return undefined;
    throw error;
  }
}

function transfer(tools: JobTools, job: Job, group: FileGroup, rate: RateLimiter): Promise<TransferredFile> {
  const { room } = tools;
  const { lease, signal } = job;
  const { file } = group;
  const observer = observe(tools, job, group);
  const limiter = file.size === undefined ? joinLimiters(rate, room.stepwise(lease.downloadId)) : rate;
  return tools.transfer.transferFile({ lease, file, limiter, observer, signal });
}

async function transferGroup(tools: JobTools, job: Job, group: FileGroup, limiter: RateLimiter): Promise<Content> {
  const { store, jobs } = tools;
  const { lease } = job;
  const { digest, size, path, forget } = await transfer(tools, job, group, limiter);
  await record(tools, job, () => jobs.admit(lease, digest, size, () => store.commit(digest, path)));
  await forget();
  return contentOf(group.paths, digest, size);
}

/** Tells the job's progress and the account of the disk what a transfer does. */
function observe(tools: JobTools, job: Job, { file, paths }: FileGroup): TransferObserver {
  const { lease, progress } = job;
  const [first = ""] = paths;
  return {
    sized: (size) => {
      for (const path of paths) progress.sized(path, size);
    },
    kept: (bytes) => progress.kept(first, bytes),
    received: (bytes) => {
      progress.received(first, bytes);
      tools.room.spend(lease.downloadId, bytes);
    },
    restarted: async () => {
      const lost = progress.restarted(first);
      // Bytes of a file of unknown size are reserved as they come.
      if (file.size !== undefined) tools.room.spend(lease.downloadId, -lost);
      const { attempt } = progress;
      await record(tools, job, () => tools.jobs.advance(lease, "TRANSFERRING", { attempt }));
    },
    verifying: () => progress.verifying(first),
    waiting: (failure) => progress.waiting(failure && failureOf(failure), first),
  };
}
