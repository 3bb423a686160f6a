import type { ConnectRouter } from "@connectrpc/connect";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";
import type { NamedCredentials } from "../domain/ports/credentials.ts";
import type { Downloads } from "../domain/ports/downloads.ts";
import type { Feeds } from "../domain/ports/feeds.ts";
import type { Models } from "../domain/ports/models.ts";
import type { Storage } from "../domain/ports/storage.ts";
import type { VersionMaker } from "../domain/ports/version-maker.ts";
import type { Workers } from "../domain/ports/workers.ts";
import { modelService } from "./model-service.ts";
import { workerService } from "./worker-service.ts";

/** What the services call. */
export interface ServicePorts {
  readonly models: Models;
  readonly downloads: Downloads;
  readonly storage: Storage;
  readonly versions: VersionMaker;
  readonly workers: Workers;
  /** What WatchModels and WatchWorkers tell. */
  readonly feeds: Feeds;
  /** What a request names as a credential must be here before it is kept. */
  readonly credentials: NamedCredentials;
}

/** Adds the services of the contract to a router. */
export function addServices(router: ConnectRouter, ports: ServicePorts): void {
  router.service(ModelService, modelService(ports));
  router.service(WorkerService, workerService(ports));
}
