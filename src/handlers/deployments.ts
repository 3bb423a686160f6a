import type { ServiceImpl } from "@connectrpc/connect";
import type { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";
import { notImplemented } from "./not-implemented.ts";

type DeploymentMethods = Pick<
  ServiceImpl<typeof WorkerService>,
  "setDeployment" | "getDeployment" | "listDeployments" | "deleteDeployment" | "resolveModel" | "watchModelEndpoints"
>;

/** The part of WorkerService that keeps models deployed and tells where they are served. */
export function deploymentMethods(): DeploymentMethods {
  return {
    async setDeployment() {
      throw notImplemented("SetDeployment");
    },

    async getDeployment() {
      throw notImplemented("GetDeployment");
    },

    async listDeployments() {
      throw notImplemented("ListDeployments");
    },

    async deleteDeployment() {
      throw notImplemented("DeleteDeployment");
    },

    async resolveModel() {
      throw notImplemented("ResolveModel");
    },

    // biome-ignore lint/correctness/useYield: there is nothing to yield before it is implemented.
    async *watchModelEndpoints() {
      throw notImplemented("WatchModelEndpoints");
    },
  };
}
