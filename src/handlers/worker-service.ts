import type { ServiceImpl } from "@connectrpc/connect";
import type { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";
import type { Workers } from "../domain/ports/workers.ts";
import { assignmentMethods } from "./assignments.ts";
import { deploymentMethods } from "./deployments.ts";
import { workerMethods } from "./workers.ts";

/** WorkerService over the registry. */
export function workerService(ports: { workers: Workers }): ServiceImpl<typeof WorkerService> {
  return {
    ...workerMethods(ports.workers),
    ...assignmentMethods(ports.workers),
    ...deploymentMethods(),
  };
}
