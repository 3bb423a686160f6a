import type { Transitions } from "./transitions.ts";

export const ASSIGNMENT_TARGETS = ["CACHED", "SERVING"] as const;
/** What is wanted of an assignment: files on the worker's disk, or loaded and answering. */
export type AssignmentTarget = (typeof ASSIGNMENT_TARGETS)[number];

export const ASSIGNMENT_STATES = ["PENDING", "PULLING", "CACHED", "LOADING", "READY", "FAILED", "REMOVING"] as const;
/** What a worker says of an assignment. */
export type AssignmentState = (typeof ASSIGNMENT_STATES)[number];

/**
 * A worker may report any state from any other: it knows best, and reports can be lost. Only REMOVING is the manager's:
 * what is no longer wanted stays so until the worker lets go of it.
 */
export const ASSIGNMENT_TRANSITIONS: Transitions<AssignmentState> = {
  PENDING: ["PULLING", "CACHED", "LOADING", "READY", "FAILED", "REMOVING"],
  PULLING: ["PENDING", "CACHED", "LOADING", "READY", "FAILED", "REMOVING"],
  CACHED: ["PENDING", "PULLING", "LOADING", "READY", "FAILED", "REMOVING"],
  LOADING: ["PENDING", "PULLING", "CACHED", "READY", "FAILED", "REMOVING"],
  READY: ["PENDING", "PULLING", "CACHED", "LOADING", "FAILED", "REMOVING"],
  FAILED: ["PENDING", "PULLING", "CACHED", "LOADING", "READY", "REMOVING"],
  REMOVING: [],
};

/** How a worker launches a model; handed to it as it is. */
export interface Launch {
  readonly engine: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** One version wanted on one worker, and what the worker says of it. */
export interface Assignment {
  readonly id: string;
  readonly workerId: string;
  readonly modelId: string;
  readonly version: number;
  readonly target: AssignmentTarget;
  readonly launch: Launch;
  /** The deployment that owns it; empty for one made by hand. */
  readonly deploymentId: string;
  readonly state: AssignmentState;
  readonly message: string;
  readonly address: string;
  readonly gpuIndices: readonly number[];
  readonly localPath: string;
  readonly completedBytes: number;
  readonly totalBytes?: number;
  readonly createTime: Date;
  readonly updateTime: Date;
}

/** What a worker reports of one assignment. */
export type AssignmentReport = Pick<
  Assignment,
  "state" | "message" | "address" | "gpuIndices" | "localPath" | "completedBytes" | "totalBytes"
> & { readonly assignmentId: string };
