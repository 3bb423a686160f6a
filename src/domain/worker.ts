import type { Labels } from "./model.ts";

export const WORKER_STATUSES = ["ONLINE", "BUSY", "OFFLINE"] as const;
/** Whether a worker is alive and how busy it is. */
export type WorkerStatus = (typeof WORKER_STATUSES)[number];

/** From this utilization on a worker is BUSY. */
export const BUSY_UTILIZATION = 0.9;

export interface Gpu {
  readonly index: number;
  readonly model: string;
  readonly memoryBytes: number;
}

/** What a worker has in all; zero means that it did not say. */
export interface WorkerCapacity {
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly maxModels: number;
  readonly gpus: readonly Gpu[];
}

export interface GpuLoad {
  readonly index: number;
  readonly utilization: number;
  readonly freeMemoryBytes?: number;
}

/** How much of a worker is in use. */
export interface WorkerLoad {
  /** 0 to 1. */
  readonly utilization: number;
  readonly activeRequests: number;
  readonly queuedRequests: number;
  readonly freeMemoryBytes?: number;
  readonly freeDiskBytes?: number;
  readonly gpus: readonly GpuLoad[];
}

/** A process on a host that serves models. */
export interface Worker {
  readonly id: string;
  readonly address: string;
  readonly labels: Labels;
  readonly capacity: WorkerCapacity;
  readonly status: WorkerStatus;
  readonly cordoned: boolean;
  readonly draining: boolean;
  readonly load?: WorkerLoad;
  readonly assignmentCount: number;
  readonly createTime: Date;
  readonly updateTime: Date;
  readonly lastSeenTime: Date;
  readonly leaseExpireTime: Date;
  readonly etag: string;
}

/** What a worker says of itself when it registers; an empty id is assigned. */
export type NewWorker = Pick<Worker, "id" | "address" | "labels" | "capacity">;

/** What can change of a worker; absent stays as it is. */
export type WorkerChanges = Partial<Pick<Worker, "address" | "labels" | "capacity" | "cordoned">>;
