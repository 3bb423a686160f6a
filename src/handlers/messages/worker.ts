import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type WorkerCapacity as WorkerCapacityMessage,
  WorkerCapacitySchema,
  type WorkerLoad as WorkerLoadMessage,
  WorkerLoadSchema,
  type Worker as WorkerMessage,
  WorkerSchema,
  type WorkerStatus as WorkerStatusMessage,
  WorkerStatusSchema,
} from "../../../gen/modelmanager/v1/worker_pb.ts";
import {
  type NewWorker,
  WORKER_STATUSES,
  type Worker,
  type WorkerCapacity,
  type WorkerLoad,
  type WorkerStatus,
} from "../../domain/worker.ts";
import { enumCodec } from "./enums.ts";
import { optionalBytes, optionalNumber } from "./optional-bytes.ts";

const statuses = enumCodec<WorkerStatus, WorkerStatusMessage>(WorkerStatusSchema, WORKER_STATUSES);

/** The message of a worker. */
export function workerToMessage(worker: Worker): WorkerMessage {
  return create(WorkerSchema, {
    id: worker.id,
    address: worker.address,
    labels: worker.labels,
    capacity: capacityToMessage(worker.capacity),
    status: statuses.toMessage(worker.status),
    cordoned: worker.cordoned,
    draining: worker.draining,
    load: worker.load && loadToMessage(worker.load),
    assignmentCount: worker.assignmentCount,
    createTime: timestampFromDate(worker.createTime),
    updateTime: timestampFromDate(worker.updateTime),
    lastSeenTime: timestampFromDate(worker.lastSeenTime),
    leaseExpireTime: timestampFromDate(worker.leaseExpireTime),
    etag: worker.etag,
  });
}

/** Reads what a worker says of itself when it registers. */
export function newWorkerFromMessage({ id, address, labels, capacity }: WorkerMessage): NewWorker {
  return { id, address, labels, capacity: capacityFromMessage(capacity) };
}

/** Reads a capacity; what is not said is zero. */
export function capacityFromMessage(capacity: WorkerCapacityMessage | undefined): WorkerCapacity {
  return {
    memoryBytes: Number(capacity?.memoryBytes ?? 0n),
    diskBytes: Number(capacity?.diskBytes ?? 0n),
    maxModels: capacity?.maxModels ?? 0,
    gpus: (capacity?.gpus ?? []).map(({ index, model, memoryBytes }) => ({
      index,
      model,
      memoryBytes: Number(memoryBytes),
    })),
  };
}

/** Reads a load. */
export function loadFromMessage(load: WorkerLoadMessage): WorkerLoad {
  return {
    utilization: load.utilization,
    activeRequests: load.activeRequests,
    queuedRequests: load.queuedRequests,
    freeMemoryBytes: optionalNumber(load.freeMemoryBytes),
    freeDiskBytes: optionalNumber(load.freeDiskBytes),
    gpus: load.gpus.map(({ index, utilization, freeMemoryBytes }) => ({
      index,
      utilization,
      freeMemoryBytes: optionalNumber(freeMemoryBytes),
    })),
  };
}

function capacityToMessage({ memoryBytes, diskBytes, maxModels, gpus }: WorkerCapacity): WorkerCapacityMessage {
  return create(WorkerCapacitySchema, {
    memoryBytes: BigInt(memoryBytes),
    diskBytes: BigInt(diskBytes),
    maxModels,
    gpus: gpus.map((gpu) => ({ ...gpu, memoryBytes: BigInt(gpu.memoryBytes) })),
  });
}

function loadToMessage(load: WorkerLoad): WorkerLoadMessage {
  return create(WorkerLoadSchema, {
    utilization: load.utilization,
    activeRequests: load.activeRequests,
    queuedRequests: load.queuedRequests,
    freeMemoryBytes: optionalBytes(load.freeMemoryBytes),
    freeDiskBytes: optionalBytes(load.freeDiskBytes),
    gpus: load.gpus.map((gpu) => ({ ...gpu, freeMemoryBytes: optionalBytes(gpu.freeMemoryBytes) })),
  });
}
