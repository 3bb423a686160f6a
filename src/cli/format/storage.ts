import type { Storage } from "../../../gen/modelmanager/v1/storage_pb.ts";
import { humanBytes } from "../../lib/bytes.ts";
import { formatDetails } from "./table.ts";

/** How the store is used, a line each. */
export function formatStorage(storage: Storage): string {
  const { capacityBytes, freeBytes } = storage;
  return formatDetails([
    ["disk", capacityBytes === undefined ? "" : humanBytes(capacityBytes)],
    ["free", freeBytes === undefined ? "" : humanBytes(freeBytes)],
    ["blobs", `${humanBytes(storage.blobBytes)} in ${storage.blobCount}`],
    ["pinned", humanBytes(storage.pinnedBytes)],
    ["reclaimable", humanBytes(storage.reclaimableBytes)],
    ["parts", humanBytes(storage.partBytes)],
    ["reserved", humanBytes(storage.reservedBytes)],
  ]);
}
