import { type DownloadProgress, DownloadState } from "../../../gen/modelmanager/v1/download_pb.ts";
import { ErrorReason } from "../../../gen/modelmanager/v1/error_reason_pb.ts";
import type { Failure } from "../../../gen/modelmanager/v1/failure_pb.ts";
import { printable } from "./table.ts";

/** What to do where a source cannot be reached at all. */
export const UNREACHABLE_HINT =
  "does the service's machine reach it? start the service with HTTPS_PROXY for a proxy or HF_ENDPOINT for another hub, " +
  "or pull a folder of that machine (MODEL_MANAGER_LOCAL_ROOTS)";

/** `waiting: the hub … refuses the connection`; empty while it goes on. */
export function formatWaiting(waiting: Failure | undefined): string {
  return waiting === undefined ? "" : `waiting: ${printable(waiting.message)}`;
}

/** What a person can do about what a download waits for; undefined if nothing is to be said. */
export function waitingHint({ state, waiting }: DownloadProgress): string | undefined {
  const unreachable = waiting?.reason === ErrorReason.SOURCE_UNAVAILABLE && waiting.metadata.http_status === undefined;
  return state === DownloadState.RESOLVING && unreachable ? UNREACHABLE_HINT : undefined;
}
