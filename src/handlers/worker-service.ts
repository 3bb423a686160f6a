import type { ServiceImpl } from "@connectrpc/connect";
import type { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";
import type { Feeds } from "../domain/ports/feeds.ts";
import type { Workers } from "../domain/ports/workers.ts";
import { assignmentMethods } from "./assignments.ts";
import { deploymentMethods } from "./deployments.ts";
import { workerMethods } from "./workers.ts";

/** WorkerService over the registry. */
export function workerService(ports: { workers: Workers; feeds: Feeds }): ServiceImpl<typeof WorkerService> {
  return {
    ...workerMethods(ports.workers, ports.feeds),
    ...assignmentMethods(ports.workers),
    ...deploymentMethods(),
  };
}
