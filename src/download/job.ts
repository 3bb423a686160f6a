import { isDomainError } from "../domain/errors.ts";
import type { Version } from "../domain/model.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { ClaimedDownload, DownloadJobs } from "../domain/ports/download-jobs.ts";
import type { MetadataReader } from "../domain/ports/metadata.ts";
import type { Quota } from "../domain/ports/quota.ts";
import type { ResolvedSource, Sources } from "../domain/ports/sources.ts";
import type { KeyedLock } from "../lib/keyed-lock.ts";
import type { CallCredentials } from "./call-credentials.ts";
import { type DiskRoom, STEP } from "./disk-room.ts";
import { fetchGroups } from "./fetch-groups.ts";
import { record, waitingOf } from "./job-record.ts";
import { assertLicense } from "./license-policy.ts";
import { JobParked, parkOnFailure, parkWhileAway } from "./parking.ts";
import { type Plan, planDownload } from "./plan.ts";
import type { JobProgress } from "./progress/job-progress.ts";
import type { RateLimiter, TokenBucket } from "./rate-limit.ts";
import { recogniseFiles } from "./recognise-files.ts";
import { askSource, type RetryTools } from "./retry.ts";
import type { Transfer } from "./transfer/transfer.ts";

/** What the jobs of a process share. */
export interface JobTools extends RetryTools {
  readonly jobs: DownloadJobs;
  readonly store: BlobStore;
  readonly sources: Sources;
  readonly metadata: MetadataReader;
  /** See `DownloadsOptions.allowedLicenses`. */
  readonly allowedLicenses?: readonly string[];
  readonly transfer: Transfer;
  readonly room: DiskRoom;
  readonly quota: Quota | undefined;
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
 *
 * @throws JobParked if the store became full on the way, or cannot be used now.
 */
export async function runJob(tools: JobTools, job: Job): Promise<Version> {
  const { jobs } = tools;
  const { lease, progress } = job;

  await record(tools, job, () => jobs.advance(lease, "RESOLVING"));
  progress.enter("RESOLVING");
  const source = await resolve(tools, job);
  const known = () => recogniseFiles(source.files, job.download.modelId, tools, job.signal);
  const resolved = { ...source, files: await record(tools, job, known) };
  assertLicense(resolved.license, tools.allowedLicenses);

  const plan = await parkWhileAway(() => planWithRoom(tools, job, resolved));

  await record(tools, job, () => jobs.advance(lease, "TRANSFERRING", { resolvedRevision: resolved.revision }));
  progress.resolved(resolved.revision, resolved.files);
  progress.enter("TRANSFERRING");
  const files = await parkOnFailure(
    () => fetchGroups(tools, job, plan),
    () => Math.max(progress.remainingBytes, STEP),
  );

  await record(tools, job, () => jobs.advance(lease, "VERIFYING"));
  progress.enter("VERIFYING");
  const counters = { ...progress.snapshot(), state: "SUCCEEDED" as const };
  const { revision, license } = resolved;
  const metadata = { ...resolved.card, ...(await tools.metadata.read(files, job.signal)) };
  const publication = { resolvedRevision: revision, license, metadata, files, progress: counters };
  return record(tools, job, () => jobs.publish(lease, publication));
}

/** Asks the source for its files: at the revision that an earlier attempt was pinned to, if there was one. */
async function resolve(tools: JobTools, job: Job): Promise<ResolvedSource> {
  const { download, source, lease, signal } = job;
  const credential = await tools.credentials.of(lease.downloadId);
  const { allowPatterns, ignorePatterns } = download;
  const revision = download.resolvedRevision || download.revision;
  const request = { revision, allowPatterns, ignorePatterns, credential, signal };
  return askSource(tools, signal, () => tools.sources.resolve(source, request), waitingOf(job));
}

/**
 * Plans the download and reserves the room that it needs. A disk that is too small for one that has nothing yet is an error;
 * what is here already is kept until there is room.
 */
async function planWithRoom(tools: JobTools, job: Job, resolved: ResolvedSource): Promise<Plan> {
  const { transfer, room } = tools;
  const { lease, download, parkings } = job;
  const plan = await record(tools, job, () => planDownload(resolved, lease, tools));
  const missing = plan.missing.map(({ file }) => file);
  const survey = await transfer.survey(lease, missing);
  const payload = missing.reduce((sum, { size = 0 }) => sum + size, 0);
  const reused = plan.present.reduce((sum, { size }) => sum + size, 0);
  await record(tools, job, async () => tools.quota?.claim(lease, reused + payload));
  const unpacked = missing.reduce((sum, { size = 0, unpack }) => sum + (unpack === undefined ? 0 : size), 0);
  const needed = Math.max(0, payload - survey.kept) + survey.copied + unpacked;
  const hasBegun = parkings > 0 || survey.kept > 0 || download.progress.completedBytes > 0;
  try {
    await room.reserve(lease.downloadId, needed);
  } catch (error) {
    throw hasBegun && isDomainError(error, "DISK_FULL") ? new JobParked(error, needed) : error;
  }
  return plan;
}
