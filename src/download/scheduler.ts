import { isDomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { ClaimedDownload } from "../domain/ports/download-jobs.ts";
import { type Job, type JobTools, runJob } from "./job.ts";
import { PARKING_BACKOFF, type ParkingBackoff } from "./parking.ts";
import type { ProgressHub } from "./progress/hub.ts";
import { JobProgress } from "./progress/job-progress.ts";
import { TokenBucket } from "./rate-limit.ts";
import { JobStopped, settleJob } from "./settle-job.ts";

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
  /** How long parked jobs wait at least. Default {@link PARKING_BACKOFF}. */
  readonly parkingBackoff?: ParkingBackoff;
}

const DEFAULT_LEASE_MS = 15_000;
const DEFAULT_RENEW_MS = 700;
const DEFAULT_POLL_MS = 1_000;

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
  #measuring = false;
  /** What parked downloads may take of the disk, in bytes; undefined while nobody knows. */
  #roomBytes: number | undefined;
  #stopped = false;

  constructor(options: SchedulerOptions) {
    this.#options = {
      leaseMs: DEFAULT_LEASE_MS,
      renewMs: DEFAULT_RENEW_MS,
      pollMs: DEFAULT_POLL_MS,
      parkingBackoff: PARKING_BACKOFF,
      ...options,
    };
  }

  start(): void {
    const { tools, pollMs, renewMs } = this.#options;
    const stopPolls = tools.clock.every(pollMs, () => {
      void this.#measureRoom();
      this.wake();
    });
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
    const running = this.#running.get(downloadId);
    if (running !== undefined) this.#lose(running);
  }

  /** Changes the rate limit of a download that runs here. */
  limit(downloadId: string, rateLimit: number | undefined): void {
    this.#running.get(downloadId)?.limiter.limit(rateLimit);
  }

  /** Releases all jobs for whoever comes next; resolves when that is done, or `graceMs` have passed. */
  async stop(graceMs: number): Promise<void> {
    const { tools, log } = this.#options;
    this.#stopped = true;
    const late = new AbortController();
    const released = async () => {
      await this.#claiming;
      for (const { stop } of this.#running.values()) stop.abort(new JobStopped("released"));
      await Promise.all([...this.#running.values()].map(({ ended }) => ended));
      late.abort();
    };
    await Promise.race([released(), tools.clock.sleep(graceMs, late.signal).catch(() => {})]);
    this.#stopTimers?.();
    if (this.#running.size > 0) log.warn("downloads did not stop in time", { count: this.#running.size });
  }

  async #claim(): Promise<void> {
    const { tools, log, owner, maxDownloads, leaseMs } = this.#options;
    const free = maxDownloads - this.#running.size;
    if (free <= 0) return;
    try {
      const among = { roomBytes: this.#roomBytes, running: [...this.#running.keys()] };
      for (const claimed of await tools.jobs.claim(owner, free, leaseMs, among)) this.#launch(claimed);
    } catch (error) {
      if (isDomainError(error, "DATABASE_UNAVAILABLE")) log.debug("no downloads could be claimed", { error });
      else log.error("no downloads could be claimed", { error });
    }
  }

  /** A disk that does not answer holds up parked downloads, and nobody else. */
  async #measureRoom(): Promise<void> {
    if (this.#measuring) return;
    this.#measuring = true;
    try {
      this.#roomBytes = Math.min(Number.MAX_SAFE_INTEGER, Math.max(-1, await this.#options.tools.room.available()));
    } catch (error) {
      this.#roomBytes = undefined;
      this.#options.log.debug("the free space of the store's disk could not be read", { error });
    } finally {
      this.#measuring = false;
    }
  }

  #launch(claimed: ClaimedDownload): void {
    const { tools, hub } = this.#options;
    const { id } = claimed.download;
    // One that was held and resumed may still be winding up.
    const former = this.#running.get(id);
    if (former !== undefined) this.#lose(former);
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
      await settleJob(this.#options, job, error).catch((settleError) => {
        // The lease runs out by itself, and the next owner finds the same.
        log.warn("the end of a download could not be recorded", { ...about, error: settleError });
      });
    }
  }

  /** Stops a job that is not ours any more. Its watchers need not wait until all work on it has ended. */
  #lose({ stop, progress }: Running): void {
    stop.abort(new JobStopped("lost"));
    void this.#options.hub.detach(progress);
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
      for (const running of jobs) {
        const renewed = held.get(running.lease.downloadId);
        if (renewed === undefined) this.#lose(running);
        else running.limiter.limit(renewed.rateLimit);
      }
    } catch (error) {
      // While the database is away nobody else can take over either; each write checks the lease anyway.
      log.debug("leases could not be renewed", { error });
    } finally {
      this.#renewing = false;
    }
  }
}
