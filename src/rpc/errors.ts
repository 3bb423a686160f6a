import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { DomainError, type FieldViolation, isDomainError, type Reason } from "../domain/errors.ts";
import { CODE_OF_REASON } from "./error-table.ts";

/** The `domain` of every `google.rpc.ErrorInfo` of this service. */
export const ERROR_DOMAIN = "modelmanager.v1";

// Errors travel in trailers, and gRPC clients take 8 KiB of them by default: what is longer would arrive as another error.
const MAX_MESSAGE = 1024;
const MAX_VIOLATIONS = 12;
const MAX_FIELD = 128;
const MAX_DESCRIPTION = 192;
const MAX_METADATA = 1024;

/** The field that a reason is about if the error names none. */
const FIELD_OF_REASON: Partial<Record<Reason, string>> = { PAGE_TOKEN_INVALID: "page_token", FILTER_INVALID: "filter" };

/**
 * The error that a caller gets for `error`: a {@link DomainError} by the error table with `ErrorInfo` and `BadRequest`; what
 * an aborted call raised by the reason it was aborted for; anything else INTERNAL, with `error` as its cause for the log.
 */
export function toConnectError(error: unknown, signal?: AbortSignal): ConnectError {
  if (error instanceof ConnectError) return error;
  if (isDomainError(error)) return fromDomainError(error);
  if (signal?.aborted && raisedByAbort(error, signal.reason)) return fromAbort(signal.reason);
  return fromDomainError(new DomainError("INTERNAL", "internal error", { cause: error }));
}

function fromDomainError(error: DomainError): ConnectError {
  const code = CODE_OF_REASON[error.reason];
  const message = cut(error.message, MAX_MESSAGE);
  const connectError = new ConnectError(message, code, undefined, undefined, error);
  connectError.details.push({
    desc: ErrorInfoSchema,
    value: { domain: ERROR_DOMAIN, reason: error.reason, metadata: metadataOf(error) },
  });
  if (code === Code.InvalidArgument) {
    connectError.details.push({ desc: BadRequestSchema, value: { fieldViolations: violationsOf(error) } });
  }
  return connectError;
}

function metadataOf(error: DomainError): Record<string, string> {
  const entries: [string, string][] = [];
  let left = MAX_METADATA;
  for (const [key, value] of Object.entries(error.metadata)) {
    left -= key.length + value.length;
    if (left >= 0) entries.push([key, value.toWellFormed()]);
  }
  return Object.fromEntries(entries);
}

function violationsOf(error: DomainError): FieldViolation[] {
  const fallback = { field: FIELD_OF_REASON[error.reason] ?? "", description: error.message };
  const violations = error.violations.length > 0 ? error.violations.slice(0, MAX_VIOLATIONS) : [fallback];
  return violations.map(({ field, description }) => ({
    field: cut(field, MAX_FIELD),
    description: cut(description, MAX_DESCRIPTION),
  }));
}

/** Whether `error` only tells that the call was aborted. */
function raisedByAbort(error: unknown, reason: unknown): boolean {
  if (error === reason) return true;
  if (!(error instanceof Error)) return false;
  return error.name === "AbortError" || error.name === "TimeoutError" || error.cause === reason;
}

/** Node, Connect and this service abort calls for reasons of their own; what says nothing is a client that went away. */
function fromAbort(reason: unknown): ConnectError {
  if (reason instanceof ConnectError) return reason;
  if (isDomainError(reason)) return fromDomainError(reason);
  if (reason instanceof Error && reason.name === "TimeoutError") {
    return new ConnectError("the call took longer than its deadline", Code.DeadlineExceeded);
  }
  return new ConnectError("the client cancelled the call", Code.Canceled);
}

/** Text in at most `length` UTF-16 units, without halves of surrogate pairs, which no encoding of the wire knows. */
function cut(text: string, length: number): string {
  return (text.length <= length ? text : `${text.slice(0, length - 3)}...`).toWellFormed();
}
