import type { Failure } from "./failure.ts";
import type { Transitions } from "./transitions.ts";

export const DOWNLOAD_STATES = [
  "QUEUED",
  "RESOLVING",
  "TRANSFERRING",
  "VERIFYING",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
  "PAUSED",
] as const;
/** Where a download stands. */
export type DownloadState = (typeof DOWNLOAD_STATES)[number];

/** Back to QUEUED goes a job whose owner stopped or died; FAILED can be resumed. */
export const DOWNLOAD_TRANSITIONS: Transitions<DownloadState> = {
  QUEUED: ["RESOLVING", "FAILED", "CANCELLED", "PAUSED"],
  RESOLVING: ["QUEUED", "TRANSFERRING", "FAILED", "CANCELLED", "PAUSED"],
  TRANSFERRING: ["QUEUED", "VERIFYING", "FAILED", "CANCELLED", "PAUSED"],
  VERIFYING: ["QUEUED", "SUCCEEDED", "FAILED", "CANCELLED", "PAUSED"],
  PAUSED: ["QUEUED", "FAILED", "CANCELLED"],
  FAILED: ["QUEUED"],
  SUCCEEDED: [],
  CANCELLED: [],
};

const TERMINAL: readonly DownloadState[] = ["SUCCEEDED", "FAILED", "CANCELLED"];

/** Whether a download in this state has ended. */
export function isTerminal(state: DownloadState): boolean {
  return TERMINAL.includes(state);
}

/** What is asked of a source: together with the model it is the identity of a live download. Empty means the source's own. */
export interface DownloadQuery {
  readonly modelId: string;
  readonly revision: string;
  readonly allowPatterns: readonly string[];
  readonly ignorePatterns: readonly string[];
}

/** A durable job that turns a model's source into a version. */
export interface Download extends DownloadQuery {
  readonly id: string;
  readonly state: DownloadState;
  readonly resolvedRevision: string;
  readonly priority: number;
  /** Bytes a second; absent for no limit of its own. */
  readonly rateLimit?: number;
  /** Without `files`. */
  readonly progress: Progress;
  readonly version?: number;
  readonly error?: Failure;
  readonly createTime: Date;
  readonly updateTime: Date;
  readonly endTime?: Date;
}

/** What a caller may change of a live download; absent stays as it is. */
export interface DownloadChanges {
  readonly priority?: number;
  /** Bytes a second; `null` lifts the limit. */
  readonly rateLimit?: number | null;
}

export const FILE_STATES = ["PENDING", "TRANSFERRING", "VERIFYING", "COMPLETE"] as const;
/** Where a file of a download stands. */
export type FileState = (typeof FILE_STATES)[number];

/** How far one file is. */
export interface FileProgress {
  readonly path: string;
  readonly state: FileState;
  readonly completedBytes: number;
  readonly totalBytes?: number;
}

/** A snapshot of how far a download is; see the contract's `DownloadProgress`. */
export interface Progress {
  readonly downloadId: string;
  readonly state: DownloadState;
  readonly completedBytes: number;
  readonly totalBytes?: number;
  readonly sourceBytes: number;
  readonly peerBytes: number;
  readonly reusedBytes: number;
  readonly completedFiles: number;
  readonly totalFiles?: number;
  readonly bytesPerSecond: number;
  readonly etaMs?: number;
  readonly attempt: number;
  readonly resolvedRevision: string;
  readonly updateTime: Date;
  readonly files: readonly FileProgress[];
  readonly version?: number;
  readonly error?: Failure;
  /** The passing failure because of which nothing moves; absent while it goes on. */
  readonly waiting?: Failure;
}
