import { type DomainError, isDomainError } from "../domain/errors.ts";
import type { Parking } from "../domain/ports/download-jobs.ts";
import { type Backoff, backoffMs } from "../lib/backoff.ts";
import type { Job } from "./job.ts";

/** How long parked jobs wait at least, from one fruitless try to the next. */
export interface ParkingBackoff {
  /** While the disk has no room: free space may be what a quota does not give. */
  readonly full: Backoff;
  /** While the store cannot be used. */
  readonly away: Backoff;
}

/** Two seconds and one second at first, then twice as long each time. */
export const PARKING_BACKOFF: ParkingBackoff = {
  full: { baseMs: 2_000, maxMs: 60_000 },
  away: { baseMs: 1_000, maxMs: 30_000 },
};

/** So often in a row a store that cannot be used is tried again: about five minutes. */
const MOST_TRIES_AWAY = 17;
/** With fewer new bytes than this, which may have been in memory only, a try was fruitless. */
const FRUITFUL_BYTES = 16 * 1024 * 1024;

/** Ends a run of a job that gives its place back until the store has room for it, or can be used again. */
export class JobParked extends Error {
  /** Why, for callers: DISK_FULL or STORE_UNAVAILABLE. */
  readonly failure: DomainError;
  /** Room that the job needs to go on, in bytes; absent if that is not what it waits for. */
  readonly bytes: number | undefined;

  constructor(failure: DomainError, bytes?: number) {
    super("the job was parked", { cause: failure });
    this.failure = failure;
    this.bytes = bytes;
  }
}

/** Runs a job's work on the store: one that cannot be used parks the job. */
export async function parkWhileAway<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw isDomainError(error, "STORE_UNAVAILABLE") ? new JobParked(error) : error;
  }
}

/** The same, and a disk that is full parks the job until there are `bytes` for it. */
export async function parkOnFailure<Result>(work: () => Promise<Result>, bytes: () => number): Promise<Result> {
  try {
    return await parkWhileAway(work);
  } catch (error) {
    throw isDomainError(error, "DISK_FULL") ? new JobParked(error, bytes()) : error;
  }
}

/** On what a parked job waits; undefined if that took too long already. */
export function parkingOf(
  { failure, bytes }: JobParked,
  { parkings: before, download, progress }: Pick<Job, "parkings" | "download" | "progress">,
  { full, away }: ParkingBackoff,
  random: () => number,
): Parking | undefined {
  const gained = progress.completedBytes - download.progress.completedBytes;
  const parkings = gained >= FRUITFUL_BYTES ? 1 : before + 1;
  const isFull = failure.reason === "DISK_FULL";
  if (!isFull && parkings > MOST_TRIES_AWAY) return undefined;
  return { bytes, parkings, waitMs: backoffMs(isFull ? full : away, parkings, random) };
}
