import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import type { Digest } from "../domain/digest.ts";
import { parseModelRef } from "../domain/model-ref.ts";
import type { Models } from "../domain/ports/models.ts";
import type { Storage } from "../domain/ports/storage.ts";
import { optionalBytes } from "./messages/optional-bytes.ts";
import { verifyProgressToMessage } from "./messages/storage.ts";

type StorageMethods = Pick<ServiceImpl<typeof ModelService>, "getStorage" | "collectGarbage" | "verifyStorage">;

const DEFAULT_GRACE_MS = 3_600_000;

/** The part of ModelService that speaks of the bytes in the store. */
export function storageMethods(storage: Storage, models: Pick<Models, "getVersion">): StorageMethods {
  async function digestsOf(modelRefs: readonly string[]): Promise<Digest[]> {
    const digests = new Set<Digest>();
    for (const [index, text] of modelRefs.entries()) {
      const { files = [] } = await models.getVersion(parseModelRef(`model_refs[${index}]`, text));
      for (const { digest } of files) digests.add(digest);
    }
    return [...digests];
  }

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
          quotaBytes: optionalBytes(usage.quotaBytes),
          damagedBytes: BigInt(usage.damagedBytes),
          damagedCount: BigInt(usage.damagedCount),
          quarantineBytes: BigInt(usage.quarantineBytes),
        },
      };
    },

    async collectGarbage({ dryRun, grace }, { signal }) {
      const graceMs = grace === undefined ? DEFAULT_GRACE_MS : durationMs(grace);
      const { blobs, blobCount, freedBytes, quarantineBytes } = await storage.collect({ dryRun, graceMs, signal });
      return {
        blobs: blobs.map(({ digest, size }) => ({ digest, size: BigInt(size) })),
        blobCount: BigInt(blobCount),
        freedBytes: BigInt(freedBytes),
        quarantineBytes: BigInt(quarantineBytes),
      };
    },

    async *verifyStorage({ modelRefs }, { signal }) {
      const digests = modelRefs.length === 0 ? undefined : await digestsOf(modelRefs);
      for await (const progress of storage.verify({ digests, signal })) yield verifyProgressToMessage(progress);
    },
  };
}
