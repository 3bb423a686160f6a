import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import type { Storage } from "../domain/ports/storage.ts";
import { optionalBytes } from "./messages/optional-bytes.ts";

type StorageMethods = Pick<ServiceImpl<typeof ModelService>, "getStorage" | "collectGarbage">;

const DEFAULT_GRACE_MS = 3_600_000;

/** The part of ModelService that speaks of the bytes in the store. */
export function storageMethods(storage: Storage): StorageMethods {
  return {
    async getStorage() {
      const usage = await storage.usage();
      return {
        storage: {
          capacityBytes: optionalBytes(usage.capacityBytes),
          freeBytes: optionalBytes(usage.freeBytes),
          blobBytes: BigInt(usage.blobBytes),
          blobCount: BigInt(usage.blobCount),
          partBytes: BigInt(usage.partBytes),
          reclaimableBytes: BigInt(usage.reclaimableBytes),
          pinnedBytes: BigInt(usage.pinnedBytes),
          reservedBytes: BigInt(usage.reservedBytes),
        },
      };
    },

    async collectGarbage({ dryRun, grace }, { signal }) {
      const graceMs = grace === undefined ? DEFAULT_GRACE_MS : durationMs(grace);
      const { blobs, blobCount, freedBytes } = await storage.collect({ dryRun, graceMs, signal });
      return {
        blobs: blobs.map(({ digest, size }) => ({ digest, size: BigInt(size) })),
        blobCount: BigInt(blobCount),
        freedBytes: BigInt(freedBytes),
      };
    },
  };
}
