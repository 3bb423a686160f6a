import type { VerifyStorageResponse } from "../../../gen/modelmanager/v1/model_service_pb.ts";
import type { DamagedBlob } from "../../../gen/modelmanager/v1/storage_pb.ts";
import { humanBytes } from "../../lib/bytes.ts";
import { formatAmounts } from "./progress.ts";
import { printable } from "./table.ts";

/** A blob that is damaged, and who misses it. */
export function formatDamaged({ digest, size, missing, modelRefs }: DamagedBlob): string {
  const named = modelRefs.length === 0 ? "" : `  of ${modelRefs.join(", ")}`;
  return printable(`${missing ? "missing" : "damaged"}  ${digest}  ${humanBytes(size)}${named}`);
}

/** How far a check is, and what it found. */
export function formatVerified(progress: VerifyStorageResponse, found: number): string {
  const { checkedBlobs, totalBlobs, checkedBytes, totalBytes } = progress;
  const amounts = formatAmounts({ completedBytes: checkedBytes, totalBytes });
  const damage = found === 0 ? "no damage" : `${found} damaged`;
  return `checked ${checkedBlobs} of ${totalBlobs} blobs, ${amounts}: ${damage}`;
}
