import { failureOf } from "../domain/failure.ts";
import type { Job } from "./job.ts";
import { type RetryTools, throughOutages, type WaitingObserver } from "./retry.ts";

/** Writes a job's record, through outages of the database, which its progress tells; for writes that are harmless to repeat. */
export function record<Result>(tools: RetryTools, job: Job, write: () => Promise<Result>): Promise<Result> {
  return throughOutages(tools, job.signal, write, waitingOf(job));
}

/** Tells a job's progress what the whole job waits for. */
export function waitingOf({ progress }: Pick<Job, "progress">): WaitingObserver {
  return (failure) => progress.waiting(failure && failureOf(failure));
}
