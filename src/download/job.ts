import type { Version } from "../domain/model.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { ClaimedDownload, DownloadJobs } from "../domain/ports/download-jobs.ts";
import type { ResolvedSource, Sources } from "../domain/ports/sources.ts";
import type { KeyedLock } from "../lib/keyed-lock.ts";
import type { CallCredentials } from "./call-credentials.ts";
import type { DiskRoom } from "./disk-room.ts";
import { fetchGroups } from "./fetch-groups.ts";
import { planDownload } from "./plan.ts";
import type { JobProgress } from "./progress/job-progress.ts";
import type { RateLimiter, TokenBucket } from "./rate-limit.ts";
import { askSource, type RetryTools, throughOutages } from "./retry.ts";
import type { Transfer } from "./transfer/transfer.ts";

/** What the jobs of a process share. */
export interface JobTools extends RetryTools {
  readonly jobs: DownloadJobs;
  readonly store: BlobStore;
  readonly sources: Sources;
  readonly transfer: Transfer;
  readonly room: DiskRoom;
  readonly credentials: CallCredentials;
  /** The limit of the process. */
  readonly limiter: RateLimiter | undefined;
  /** Held for a digest while one job gets its bytes, so that another waits and finds them in the store. */
  readonly contents: KeyedLock;
}

/** A claimed download while it is worked on. */
export interface Job extends ClaimedDownload {
  readonly progress: JobProgress;
  /** The limit of this download, which may change while it runs. */
  readonly limiter: TokenBucket;
  /** Fires when the job is to stop: its lease is void, or the process ends. */
  readonly signal: AbortSignal;
}

/**
 * Takes a claimed download through resolve, plan, transfer, verify and publish. The record is written at each step under
 * the lease; what fails is raised for whoever runs jobs to settle.
 */
export async function runJob(tools: JobTools, job: Job): Promise<Version> {
  const { jobs, transfer, room, store } = tools;
  const { lease, progress, signal } = job;
  const record = <Result>(write: () => Promise<Result>) => throughOutages(tools, signal, write);

  await record(() => jobs.advance(lease, "RESOLVING"));
  progress.enter("RESOLVING");
  const resolved = await resolve(tools, job);

  const plan = await record(() => planDownload(resolved, lease, jobs, store));
  const missing = plan.missing.map(({ file }) => file);
  const survey = await transfer.survey(lease, missing);
  const payload = missing.reduce((sum, { size = 0 }) => sum + size, 0);
  await room.reserve(lease.downloadId, Math.max(0, payload - survey.kept) + survey.copied);

  await record(() => jobs.advance(lease, "TRANSFERRING", { resolvedRevision: resolved.revision }));
  progress.resolved(resolved.revision, resolved.files);
  progress.enter("TRANSFERRING");
  const files = await fetchGroups(tools, job, plan);

  await record(() => jobs.advance(lease, "VERIFYING"));
  progress.enter("VERIFYING");
  const counters = { ...progress.snapshot(), state: "SUCCEEDED" as const };
  const { revision, license } = resolved;
  const publication = { resolvedRevision: revision, license, metadata: {}, files, progress: counters };
  return record(() => jobs.publish(lease, publication));
}

/** Asks the source for its files: at the revision that an earlier attempt was pinned to, if there was one. */
async function resolve(tools: JobTools, { download, source, lease, signal }: Job): Promise<ResolvedSource> {
  const credential = await tools.credentials.of(lease.downloadId);
  const { allowPatterns, ignorePatterns } = download;
  const revision = download.resolvedRevision || download.revision;
  return askSource(tools, signal, () =>
    tools.sources.resolve(source, { revision, allowPatterns, ignorePatterns, credential, signal }),
  );
}
