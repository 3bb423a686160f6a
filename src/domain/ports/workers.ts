import type { Assignment, AssignmentReport, AssignmentTarget, Launch } from "../assignment.ts";
import type { ModelRef } from "../model-ref.ts";
import type { ListRequest, Page } from "../page.ts";
import type { NewWorker, Worker, WorkerChanges, WorkerLoad } from "../worker.ts";

/** What a worker says of itself every few seconds. */
export interface Heartbeat {
  readonly workerId: string;
  readonly sessionToken: string;
  /** Absent: unchanged. */
  readonly load?: WorkerLoad;
  /** All that it has; what is missing is taken as gone. */
  readonly assignments: readonly AssignmentReport[];
}

/** Asks for a version to be on a worker. */
export interface NewAssignment {
  readonly ref: ModelRef;
  readonly workerId: string;
  readonly target: AssignmentTarget;
  readonly launch: Launch;
  readonly dryRun: boolean;
}

/** Which assignments to take back. */
export type AssignmentSelector =
  | { readonly assignmentId: string }
  | { readonly modelId: string; readonly workerId: string };

/** The record of workers and assignments. Every change is one transaction that also writes its event; presence and load make none. */
export interface Workers {
  /** Registers or registers again: the newest session replaces all older ones. An empty id is assigned. */
  register(worker: NewWorker): Promise<{ worker: Worker; sessionToken: string; leaseMs: number }>;
  /** Renews the lease. WORKER_NOT_FOUND; SESSION_STALE if the token is not the newest or the lease ran out. */
  heartbeat(heartbeat: Heartbeat): Promise<{ worker: Worker; leaseMs: number }>;
  get(workerId: string): Promise<Worker>;
  /** By id. */
  list(request: ListRequest): Promise<Page<Worker> & { onlineCount: number }>;
  update(workerId: string, changes: WorkerChanges, etag: string): Promise<Worker>;
  delete(workerId: string): Promise<void>;

  /** STATE_INVALID if the worker is OFFLINE or cordoned; VERSION_NOT_FOUND. What a worker has already is changed to what is wanted. */
  assign(request: NewAssignment): Promise<Assignment>;
  /** ASSIGNMENT_NOT_FOUND if there is none. */
  unassign(selector: AssignmentSelector): Promise<void>;
  /** What a worker should have and has, oldest first; WORKER_NOT_FOUND. */
  listAssignments(workerId: string): Promise<readonly Assignment[]>;
}
