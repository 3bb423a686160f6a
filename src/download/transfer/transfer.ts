import type { Digest } from "../../domain/digest.ts";
import type { DomainError } from "../../domain/errors.ts";
import type { Lease } from "../../domain/ports/download-jobs.ts";
import type { SourceFile } from "../../domain/ports/sources.ts";
import type { RateLimiter } from "../rate-limit.ts";

/** Asks for one file of a source as a verified local file. */
export interface TransferRequest {
  /** Names the part file's owner; whoever holds a later epoch never writes a file of an earlier one. */
  readonly lease: Lease;
  readonly file: SourceFile;
  readonly limiter: RateLimiter;
  readonly observer: TransferObserver;
  /** Stops the transfer; what was received is kept for the next one. */
  readonly signal: AbortSignal;
}

/** Hears of a transfer while it runs. */
export interface TransferObserver {
  /** The size of the file became known. */
  sized(size: number): void;
  /** So many more bytes are here that an earlier transfer had received. */
  kept(bytes: number): void;
  /** So many more bytes came from the source. */
  received(bytes: number): void;
  /** All bytes so far are void: the file starts over from zero. */
  restarted(): Promise<void>;
  /** All bytes are here and their digest is checked. */
  verifying(): void;
  /** Nothing comes for now: a passing failure is waited out; undefined, or any byte, says that it goes on. */
  waiting(failure: DomainError | undefined): void;
}

/** A file that was received whole, whose digest was checked and whose bytes are synced. */
export interface TransferredFile {
  readonly digest: Digest;
  readonly size: number;
  readonly path: string;
  /** Takes away what was noted beside the file, and the file if it is still there. To be called once it is in the store; never fails. */
  forget(): Promise<void>;
}

/** What is on the disk already of files that are to be transferred, in bytes. */
export interface PartSurvey {
  /** Kept by earlier transfers, and continued by the next. */
  readonly kept: number;
  /** The largest piece of it that has to be copied before the old one can go. */
  readonly copied: number;
}

/** Whether a download still runs or waits; its parts are left to it. */
export type IsLive = (downloadId: string) => Promise<boolean>;

/**
 * Gets the bytes of files and checks them. How bytes travel is known in here only: connections, mirrors, retries, part
 * files, resumption and hashing.
 */
export interface Transfer {
  /**
   * Transfers one file, going on from what an earlier transfer kept, over its mirrors and through passing faults.
   *
   * @throws DomainError SOURCE_UNAVAILABLE when retries brought nothing; CONTENT_MISMATCH when what comes does not match for
   * the third time; DISK_FULL or STORE_UNAVAILABLE; the errors of {@link FileOrigin.open} when no origin is left; the
   * signal's reason.
   */
  transferFile(request: TransferRequest): Promise<TransferredFile>;
  /** What is kept of `files` for the holder of `lease`. */
  survey(lease: Lease, files: readonly SourceFile[]): Promise<PartSurvey>;
  /** Takes away parts that nobody wrote for `idleMs` milliseconds, but for those of downloads of which `isKept` holds. */
  sweep(idleMs: number, isKept: (downloadId: string) => Promise<boolean>): Promise<void>;
  /** Ends the threads; no transfer may be running. */
  close(): Promise<void>;
}
