/**
 * The one family of errors that this service raises on purpose.
 *
 * A reason says what happened in the service's own words; how it travels (status code, HTTP status) is decided in
 * `rpc/error-table.ts` alone. The message is for the caller: it names the field or the thing and the rule, and never a
 * path of the server, SQL, a token or a signed URL. What is for the operator goes into `cause`, which is logged, not sent.
 */
export const REASONS = [
  "MODEL_NOT_FOUND",
  "VERSION_NOT_FOUND",
  "ALIAS_NOT_FOUND",
  "BLOB_NOT_FOUND",
  "DOWNLOAD_NOT_FOUND",
  "WORKER_NOT_FOUND",
  "ASSIGNMENT_NOT_FOUND",
  "DEPLOYMENT_NOT_FOUND",
  "SOURCE_NOT_FOUND",
  "SOURCE_REVISION_NOT_FOUND",
  "SOURCE_FILE_NOT_FOUND",
  "HEALTH_SERVICE_NOT_FOUND",
  "MODEL_EXISTS",
  "DEPLOYMENT_EXISTS",
  "FIELD_INVALID",
  "PAGE_TOKEN_INVALID",
  "FILTER_INVALID",
  "ETAG_MISMATCH",
  "OPERATION_CONFLICT",
  "STATE_INVALID",
  "SESSION_STALE",
  "LEASE_STALE",
  "RESOURCE_IN_USE",
  "DISK_FULL",
  "QUOTA_EXCEEDED",
  "MESSAGE_TOO_LARGE",
  "TOO_MANY_STREAMS",
  "SOURCE_UNAVAILABLE",
  "DATABASE_UNAVAILABLE",
  "STORE_UNAVAILABLE",
  "SHUTTING_DOWN",
  "CONTENT_MISMATCH",
  "SOURCE_FORBIDDEN",
  "ADDRESS_NOT_ALLOWED",
  "PATH_NOT_ALLOWED",
  "LICENSE_NOT_ALLOWED",
  "UNAUTHENTICATED",
  "SEQUENCE_EXPIRED",
  "WATCHER_TOO_SLOW",
  "RANGE_NOT_SATISFIABLE",
  "DOWNLOAD_CANCELLED",
  "DEADLINE_EXCEEDED",
  "NOT_IMPLEMENTED",
  "INTERNAL",
] as const;

/** Why something failed: the name of a value of the contract's `ErrorReason`, without its prefix. */
export type Reason = (typeof REASONS)[number];

/** One field that breaks a rule. `field` is a path in the request such as `model.id` or `source.http.files[0].url`. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

export interface DomainErrorOptions {
  /** What raised it, for the log; never sent. */
  readonly cause?: unknown;
  /** Small facts for programs, sent with the error: an upstream status, the id of who uses a resource. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
}

/** An error raised where it is understood; see {@link REASONS} for the kinds. */
export class DomainError extends Error {
  override readonly name = "DomainError";
  readonly reason: Reason;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];

  constructor(reason: Reason, message: string, options: DomainErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.metadata = options.metadata ?? {};
    this.violations = options.violations ?? [];
  }
}

/** A request field that breaks a rule, said as `field: rule`. */
export function invalidField(field: string, rule: string): DomainError {
  return new DomainError("FIELD_INVALID", `${field}: ${rule}`, { violations: [{ field, description: rule }] });
}

/** Whether `error` is a {@link DomainError}, of the given reason if one is named. */
export function isDomainError(error: unknown, reason?: Reason): error is DomainError {
  return error instanceof DomainError && (reason === undefined || error.reason === reason);
}
