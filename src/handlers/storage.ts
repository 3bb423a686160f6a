import type { ServiceImpl } from "@connectrpc/connect";
import type { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { notImplemented } from "./not-implemented.ts";

type StorageMethods = Pick<ServiceImpl<typeof ModelService>, "getStorage" | "collectGarbage">;

/** The part of ModelService that speaks of the bytes in the store. */
export function storageMethods(): StorageMethods {
  return {
    async getStorage() {
      throw notImplemented("GetStorage");
    },

    async collectGarbage() {
      throw notImplemented("CollectGarbage");
    },
  };
}
