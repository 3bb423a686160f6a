import { isDomainError } from "../domain/errors.ts";
import { failureOf } from "../domain/failure.ts";
import type { Logger } from "../domain/logger.ts";
import type { ClaimedDownload } from "../domain/ports/download-jobs.ts";
import { type Job, type JobTools, runJob } from "./job.ts";
import type { ProgressHub } from "./progress/hub.ts";
import { JobProgress } from "./progress/job-progress.ts";
import { TokenBucket } from "./rate-limit.ts";
import { throughOutages } from "./retry.ts";

export interface SchedulerOptions {
  readonly tools: JobTools;
  readonly hub: ProgressHub;
  readonly log: Logger;
  /** Names this process in the record. */
  readonly owner: string;
  /** Downloads of this process at once. */
  readonly maxDownloads: number;
  /** How long a lease lasts without being renewed. Default 15 s. */
  readonly leaseMs?: number;
  /** How often leases are renewed, and so how soon a cancellation is heard of. Default 0.7 s. */
  readonly renewMs?: number;
  /** How often the record is asked for work. Default 1 s. */
  readonly pollMs?: number;
}

const DEFAULT_LEASE_MS = 15_000;
const DEFAULT_RENEW_MS = 700;
const DEFAULT_POLL_MS = 1_000;

/** Why a job was told to stop: the lease is not ours any more, or the process ends and others may go on with the job. */
class JobStopped extends Error {
  readonly why: "lost" | "parked";

  constructor(why: "lost" | "parked") {
    super(`the job was ${why}`);
    this.why = why;
  }
}

interface Running extends Job {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** Claims downloads up to the process's limit, keeps their leases, runs them, and settles how they end. */
export class Scheduler {
  readonly #options: Required<SchedulerOptions>;
  readonly #running = new Map<string, Running>();
  #stopTimers: (() => void) | undefined;
  #claiming: Promise<void> | undefined;
  #claimAgain = false;
  #renewing = false;
  #stopped = false;

  constructor(options: SchedulerOptions) {
    const defaults = { leaseMs: DEFAULT_LEASE_MS, renewMs: DEFAULT_RENEW_MS, pollMs: DEFAULT_POLL_MS };
    this.#options = { ...defaults, ...options };
  }

  start(): void {
    const { tools, pollMs, renewMs } = this.#options;
    const stopPolls = tools.clock.every(pollMs, () => this.wake());
    const stopRenewals = tools.clock.every(renewMs, () => void this.#renew());
    this.#stopTimers = () => {
      stopPolls();
      stopRenewals();
    };
    this.wake();
  }

  /** Looks for work at once. */
  wake(): void {
    if (this.#stopTimers === undefined || this.#stopped) return;
    if (this.#claiming !== undefined) {
      this.#claimAgain = true;
      return;
    }
    this.#claimAgain = false;
    this.#claiming = this.#claim().finally(() => {
      this.#claiming = undefined;
      if (this.#claimAgain) this.wake();
    });
  }

  /** Stops the job of a download whose lease is void. */
  drop(downloadId: string): void {
    this.#running.get(downloadId)?.stop.abort(new JobStopped("lost"));
  }

  /** Changes the rate limit of a download that runs here. */
  limit(downloadId: string, rateLimit: number | undefined): void {
    this.#running.get(downloadId)?.limiter.limit(rateLimit);
  }

  /** Parks all jobs for whoever comes next; resolves when that is done, or `graceMs` have passed. */
  async stop(graceMs: number): Promise<void> {
    const { tools, log } = this.#options;
    this.#stopped = true;
    const late = new AbortController();
    const parked = async () => {
      await this.#claiming;
      for (const { stop } of this.#running.values()) stop.abort(new JobStopped("parked"));
      await Promise.all([...this.#running.values()].map(({ ended }) => ended));
      late.abort();
    };
    await Promise.race([parked(), tools.clock.sleep(graceMs, late.signal).catch(() => {})]);
    this.#stopTimers?.();
    if (this.#running.size > 0) log.warn("downloads did not stop in time", { count: this.#running.size });
  }

  async #claim(): Promise<void> {
    const { tools, log, owner, maxDownloads, leaseMs } = this.#options;
    const free = maxDownloads - this.#running.size;
    if (free <= 0) return;
    try {
      for (const claimed of await tools.jobs.claim(owner, free, leaseMs)) this.#launch(claimed);
    } catch (error) {
      if (isDomainError(error, "DATABASE_UNAVAILABLE")) log.debug("no downloads could be claimed", { error });
      else log.error("no downloads could be claimed", { error });
    }
  }

  #launch(claimed: ClaimedDownload): void {
    const { tools, hub } = this.#options;
    const { id } = claimed.download;
    // An own lease that ran out unnoticed: the record gave the job to us again.
    const former = this.#running.get(id);
    former?.stop.abort(new JobStopped("lost"));
    const stop = new AbortController();
    const job: Job = {
      ...claimed,
      progress: new JobProgress(claimed.download, tools.clock),
      limiter: new TokenBucket(claimed.download.rateLimit, tools.clock),
      signal: stop.signal,
    };
    const run = async () => {
      await former?.ended;
      hub.attach(job.lease, job.progress);
      await this.#run(job);
      await hub.detach(job.progress);
      tools.room.free(id);
      if (job.progress.ended) tools.credentials.forget(id);
    };
    const running: Running = {
      ...job,
      stop,
      ended: run().finally(() => {
        if (this.#running.get(id) === running) this.#running.delete(id);
        this.wake();
      }),
    };
    this.#running.set(id, running);
  }

  async #run(job: Job): Promise<void> {
    const { tools, log } = this.#options;
    const { progress, download } = job;
    const about = { downloadId: download.id, modelId: download.modelId };
    try {
      const { version } = await runJob(tools, job);
      progress.end("SUCCEEDED", { version });
      log.info("download succeeded", { ...about, version });
    } catch (error) {
      await this.#settle(job, error).catch((settleError) => {
        // The lease runs out by itself, and the next owner finds the same.
        log.warn("the end of a download could not be recorded", { ...about, error: settleError });
      });
    }
  }

  /** Records how a job ended that did not succeed. */
  async #settle(job: Job, error: unknown): Promise<void> {
    const { tools, log } = this.#options;
    const { lease, progress, signal, download } = job;
    const about = { downloadId: download.id, modelId: download.modelId };
    const stopped = signal.reason instanceof JobStopped ? signal.reason.why : undefined;
    if (stopped === "parked") {
      await tools.jobs.release(lease, progress.snapshot());
      log.info("download parked", about);
    } else if (stopped === "lost" || isDomainError(error, "LEASE_STALE")) {
      log.info("download is not ours any more", about);
    } else {
      const full = isDomainError(error, "DISK_FULL") && error.cause !== undefined;
      const failure = failureOf(full ? await tools.room.ranOut(progress.remainingBytes, error) : error);
      log[failure.reason === "INTERNAL" ? "error" : "warn"]("download failed", { ...about, error });
      const counters = { ...progress.snapshot(), state: "FAILED" as const, error: failure };
      await throughOutages(tools, signal, () => tools.jobs.fail(lease, failure, counters));
      progress.end("FAILED", { error: failure });
    }
  }

  async #renew(): Promise<void> {
    const { tools, log, leaseMs } = this.#options;
    const jobs = [...this.#running.values()];
    if (this.#renewing || jobs.length === 0) return;
    this.#renewing = true;
    try {
      const held = await tools.jobs.renew(
        jobs.map(({ lease }) => lease),
        leaseMs,
      );
      for (const { lease, limiter, stop } of jobs) {
        const renewed = held.get(lease.downloadId);
        if (renewed === undefined) stop.abort(new JobStopped("lost"));
        else limiter.limit(renewed.rateLimit);
      }
    } catch (error) {
      // While the database is away nobody else can take over either; each write checks the lease anyway.
      log.debug("leases could not be renewed", { error });
    } finally {
      this.#renewing = false;
    }
  }
}
