import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Worker as WorkerMessage } from "../../gen/modelmanager/v1/worker_pb.ts";
import type { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";
import { invalidField } from "../domain/errors.ts";
import { parseFilter, WORKER_FILTER_FIELDS } from "../domain/parse-filter.ts";
import type { Feeds } from "../domain/ports/feeds.ts";
import type { Workers } from "../domain/ports/workers.ts";
import type { WorkerChanges } from "../domain/worker.ts";
import { reportsFromMessage } from "./messages/assignment.ts";
import { eventToMessage, sequenceFromMessage } from "./messages/event.ts";
import { capacityFromMessage, loadFromMessage, newWorkerFromMessage, workerToMessage } from "./messages/worker.ts";
import { notImplemented } from "./not-implemented.ts";
import { pageFromMessage, pageToMessage } from "./pages.ts";
import { type MutableFields, selectChanges } from "./update-mask.ts";

type WorkerMethods = Pick<
  ServiceImpl<typeof WorkerService>,
  | "registerWorker"
  | "heartbeat"
  | "getWorker"
  | "listWorkers"
  | "updateWorker"
  | "drainWorker"
  | "deleteWorker"
  | "watchWorkers"
>;

const MUTABLE: MutableFields<WorkerMessage, WorkerChanges> = {
  address: {
    isSet: (worker) => worker.address !== "",
    read: ({ address }) => ({ address }),
  },
  labels: {
    isSet: (worker) => Object.keys(worker.labels).length > 0,
    read: ({ labels }) => ({ labels }),
  },
  capacity: {
    isSet: (worker) => worker.capacity !== undefined,
    read: ({ capacity }) => ({ capacity: capacityFromMessage(capacity) }),
  },
  cordoned: {
    isSet: (worker) => worker.cordoned,
    read: ({ cordoned }) => ({ cordoned }),
  },
};

/** The part of WorkerService that brings workers in and watches over them. */
export function workerMethods(workers: Workers, feeds: Feeds): WorkerMethods {
  return {
    async registerWorker({ worker }) {
      if (!worker) throw invalidField("worker", "is required");
      const registered = await workers.register(newWorkerFromMessage(worker));
      return {
        worker: workerToMessage(registered.worker),
        sessionToken: registered.sessionToken,
        leaseDuration: durationFromMs(registered.leaseMs),
      };
    },

    async heartbeat({ workerId, sessionToken, load, assignments }) {
      const { worker, leaseMs } = await workers.heartbeat({
        workerId,
        sessionToken,
        load: load && loadFromMessage(load),
        assignments: reportsFromMessage("assignments", assignments),
      });
      return { worker: workerToMessage(worker), leaseDuration: durationFromMs(leaseMs) };
    },

    async getWorker({ workerId }) {
      return { worker: workerToMessage(await workers.get(workerId)) };
    },

    async listWorkers(request) {
      const filter = parseFilter(request.filter, WORKER_FILTER_FIELDS);
      const page = await workers.list({ ...pageFromMessage(request), filter });
      return {
        workers: page.items.map(workerToMessage),
        onlineCount: BigInt(page.onlineCount),
        ...pageToMessage(page),
      };
    },

    async updateWorker({ worker, updateMask }) {
      if (!worker) throw invalidField("worker", "is required");
      const updated = await workers.update(worker.id, selectChanges(worker, updateMask, MUTABLE), worker.etag);
      return { worker: workerToMessage(updated) };
    },

    async drainWorker() {
      throw notImplemented("DrainWorker");
    },

    async deleteWorker({ workerId }) {
      await workers.delete(workerId);
      return {};
    },

    async *watchWorkers(request, { signal }) {
      const filter = parseFilter(request.filter, WORKER_FILTER_FIELDS);
      const afterSequence = sequenceFromMessage(request.afterSequence);
      for await (const event of feeds.watchWorkers({ filter, afterSequence, signal })) {
        yield { event: eventToMessage(event) };
      }
    },
  };
}
