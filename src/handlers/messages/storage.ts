import { create } from "@bufbuild/protobuf";
import {
  type VerifyStorageResponse,
  VerifyStorageResponseSchema,
} from "../../../gen/modelmanager/v1/model_service_pb.ts";
import type { VerifyProgress } from "../../domain/ports/storage.ts";

/** The message of how far a check of the store is. */
export function verifyProgressToMessage(progress: VerifyProgress): VerifyStorageResponse {
  return create(VerifyStorageResponseSchema, {
    checkedBlobs: BigInt(progress.checkedBlobs),
    totalBlobs: BigInt(progress.totalBlobs),
    checkedBytes: BigInt(progress.checkedBytes),
    totalBytes: BigInt(progress.totalBytes),
    damaged: progress.damaged.map(({ digest, size, missing, modelRefs }) => ({
      digest,
      size: BigInt(size),
      missing,
      modelRefs: [...modelRefs],
    })),
  });
}
