import { isDomainError } from "../domain/errors.ts";
import { failureOf } from "../domain/failure.ts";
import type { Logger } from "../domain/logger.ts";
import type { Job, JobTools } from "./job.ts";
import { JobParked, type ParkingBackoff, parkingOf } from "./parking.ts";
import { throughOutages } from "./retry.ts";

/** Why a job was told to stop: the lease is not ours any more, or the process ends and others may go on with the job. */
export class JobStopped extends Error {
  readonly why: "lost" | "released";

  constructor(why: "lost" | "released") {
    super(`the job was ${why}`);
    this.why = why;
  }
}

/** What settling a job takes. */
export interface SettleTools {
  readonly tools: JobTools;
  readonly log: Logger;
  readonly parkingBackoff: ParkingBackoff;
}

/** Records how a job ended that did not succeed: given back, parked or failed; nothing if it is not ours any more. */
export async function settleJob(settle: SettleTools, job: Job, error: unknown): Promise<void> {
  const { tools, log } = settle;
  const { lease, progress, signal, download } = job;
  const about = { downloadId: download.id, modelId: download.modelId };
  const stopped = signal.reason instanceof JobStopped ? signal.reason.why : undefined;
  if (stopped === "released") {
    await tools.jobs.release(lease, progress.snapshot());
    log.info("download released", about);
  } else if (stopped === "lost" || isDomainError(error, "LEASE_STALE")) {
    log.info("download is not ours any more", about);
  } else if (error instanceof JobParked) {
    await park(settle, job, error);
  } else {
    await fail(settle, job, error);
  }
}

/** Gives a job back that waits for the store. */
async function park(settle: SettleTools, job: Job, parked: JobParked): Promise<void> {
  const { tools, log, parkingBackoff } = settle;
  const { lease, progress, signal, download } = job;
  const parking = parkingOf(parked, job, parkingBackoff, tools.random);
  const { failure, bytes } = parked;
  const told = bytes === undefined ? failure : await tools.room.ranOut(lease.downloadId, bytes, failure);
  if (parking === undefined) return fail(settle, job, told);
  log.warn("download parked", { downloadId: download.id, modelId: download.modelId, ...parking, error: told });
  progress.waiting(failureOf(told));
  await throughOutages(tools, signal, () => tools.jobs.release(lease, progress.snapshot(), parking));
}

async function fail({ tools, log }: SettleTools, job: Job, error: unknown): Promise<void> {
  const { lease, progress, signal, download, withToken } = job;
  const failure = failureOf(withToken ? await tools.credentials.explain(download.id, error) : error);
  const about = { downloadId: download.id, modelId: download.modelId, error };
  log[failure.reason === "INTERNAL" ? "error" : "warn"]("download failed", about);
  const counters = { ...progress.snapshot(), state: "FAILED" as const, error: failure };
  await throughOutages(tools, signal, () => tools.jobs.fail(lease, failure, counters));
  progress.end("FAILED", { error: failure });
}
