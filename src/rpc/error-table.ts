import { Code } from "@connectrpc/connect";
import type { Reason } from "../domain/errors.ts";

/** The one place that says which status code a reason travels with; the contract's `ErrorReason` documents the same. */
export const CODE_OF_REASON: Readonly<Record<Reason, Code>> = {
  MODEL_NOT_FOUND: Code.NotFound,
  VERSION_NOT_FOUND: Code.NotFound,
  ALIAS_NOT_FOUND: Code.NotFound,
  BLOB_NOT_FOUND: Code.NotFound,
  DOWNLOAD_NOT_FOUND: Code.NotFound,
  WORKER_NOT_FOUND: Code.NotFound,
  ASSIGNMENT_NOT_FOUND: Code.NotFound,
  DEPLOYMENT_NOT_FOUND: Code.NotFound,
  SOURCE_NOT_FOUND: Code.NotFound,
  SOURCE_REVISION_NOT_FOUND: Code.NotFound,
  SOURCE_FILE_NOT_FOUND: Code.NotFound,
  HEALTH_SERVICE_NOT_FOUND: Code.NotFound,
  MODEL_EXISTS: Code.AlreadyExists,
  DEPLOYMENT_EXISTS: Code.AlreadyExists,
  FIELD_INVALID: Code.InvalidArgument,
  PAGE_TOKEN_INVALID: Code.InvalidArgument,
  FILTER_INVALID: Code.InvalidArgument,
  ETAG_MISMATCH: Code.Aborted,
  OPERATION_CONFLICT: Code.Aborted,
  STATE_INVALID: Code.FailedPrecondition,
  SESSION_STALE: Code.FailedPrecondition,
  LEASE_STALE: Code.FailedPrecondition,
  RESOURCE_IN_USE: Code.FailedPrecondition,
  DISK_FULL: Code.ResourceExhausted,
  QUOTA_EXCEEDED: Code.ResourceExhausted,
  MESSAGE_TOO_LARGE: Code.ResourceExhausted,
  TOO_MANY_STREAMS: Code.ResourceExhausted,
  SOURCE_UNAVAILABLE: Code.Unavailable,
  DATABASE_UNAVAILABLE: Code.Unavailable,
  STORE_UNAVAILABLE: Code.Unavailable,
  SHUTTING_DOWN: Code.Unavailable,
  CONTENT_MISMATCH: Code.DataLoss,
  SOURCE_FORBIDDEN: Code.PermissionDenied,
  ADDRESS_NOT_ALLOWED: Code.PermissionDenied,
  PATH_NOT_ALLOWED: Code.PermissionDenied,
  LICENSE_NOT_ALLOWED: Code.PermissionDenied,
  UNAUTHENTICATED: Code.Unauthenticated,
  SEQUENCE_EXPIRED: Code.OutOfRange,
  WATCHER_TOO_SLOW: Code.ResourceExhausted,
  RANGE_NOT_SATISFIABLE: Code.OutOfRange,
  DOWNLOAD_CANCELLED: Code.Canceled,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  NOT_IMPLEMENTED: Code.Unimplemented,
  INTERNAL: Code.Internal,
};

/** A status code by its canonical name, such as `NOT_FOUND`. */
export function codeName(code: Code): string {
  if (code === Code.Canceled) return "CANCELLED";
  return Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
