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
    ["quota", storage.quotaBytes === undefined ? "" : humanBytes(storage.quotaBytes)],
    ["damaged", storage.damagedCount === 0n ? "" : `${humanBytes(storage.damagedBytes)} in ${storage.damagedCount}`],
    ["quarantine", storage.quarantineBytes === 0n ? "" : humanBytes(storage.quarantineBytes)],
    ["pinned", humanBytes(storage.pinnedBytes)],
    ["reclaimable", humanBytes(storage.reclaimableBytes)],
    ["parts", humanBytes(storage.partBytes)],
    ["reserved", humanBytes(storage.reservedBytes)],
  ]);
}
