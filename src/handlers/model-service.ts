import type { ServiceImpl } from "@connectrpc/connect";
import type { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import type { NamedCredentials } from "../domain/ports/credentials.ts";
import type { Downloads } from "../domain/ports/downloads.ts";
import type { Feeds } from "../domain/ports/feeds.ts";
import type { Models } from "../domain/ports/models.ts";
import type { Storage } from "../domain/ports/storage.ts";
import type { VersionMaker } from "../domain/ports/version-maker.ts";
import { downloadMethods } from "./downloads.ts";
import { modelMethods } from "./models.ts";
import { storageMethods } from "./storage.ts";
import { versionMethods } from "./versions.ts";

/** ModelService over the registry and the download pipeline. */
export function modelService(ports: {
  models: Models;
  feeds: Feeds;
  downloads: Downloads;
  storage: Storage;
  versions: VersionMaker;
  credentials: NamedCredentials;
}): ServiceImpl<typeof ModelService> {
  return {
    ...modelMethods(ports.models, ports.feeds, ports.credentials),
    ...versionMethods(ports.models, ports.versions),
    ...downloadMethods(ports.downloads, ports.credentials),
    ...storageMethods(ports.storage, ports.models),
  };
}
