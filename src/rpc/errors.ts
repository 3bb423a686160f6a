import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { DomainError, type FieldViolation, isDomainError, type Reason } from "../domain/errors.ts";
import { blameClient } from "./decoding.ts";
import { CODE_OF_REASON } from "./error-table.ts";

/** The `domain` of every `google.rpc.ErrorInfo` of this service. */
export const ERROR_DOMAIN = "modelmanager.v1";

// In bytes. Errors travel in trailers, and gRPC clients take 8 KiB of them by default: what is longer would arrive as another
// error. The message goes twice, once percent-encoded, and all else in base64.
const MAX_MESSAGE = 768;
const MAX_VIOLATIONS = 2048;
const MAX_FIELD = 160;
const MAX_DESCRIPTION = 256;
const MAX_METADATA = 768;

/** The field that a reason is about if the error names none. */
const FIELD_OF_REASON: Partial<Record<Reason, string>> = { PAGE_TOKEN_INVALID: "page_token", FILTER_INVALID: "filter" };

/**
 * The error that a caller gets for `error`: a {@link DomainError} by the error table with `ErrorInfo` and `BadRequest`; what
 * an aborted call raised by the reason it was aborted for; anything else INTERNAL, with `error` as its cause for the log.
 */
export function toConnectError(error: unknown, signal?: AbortSignal): ConnectError {
  if (isDomainError(error)) return fromDomainError(error);
  if (signal?.aborted && raisedByAbort(error, signal.reason)) return fromAbort(signal.reason);
  if (error instanceof ConnectError) {
    blameClient(error);
    return error;
  }
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
  const entries = Object.entries(error.metadata).map(([key, value]) => [key, value.toWellFormed()] as const);
  return Object.fromEntries(within(MAX_METADATA, entries, ([key, value]) => key + value));
}

function violationsOf(error: DomainError): FieldViolation[] {
  const fallback = { field: FIELD_OF_REASON[error.reason] ?? "", description: error.message };
  const violations = (error.violations.length > 0 ? error.violations : [fallback]).map((violation) => ({
    field: cut(violation.field, MAX_FIELD),
    description: cut(violation.description, MAX_DESCRIPTION),
  }));
  return within(MAX_VIOLATIONS, violations, ({ field, description }) => field + description);
}

/** Those of `items` that fit into a number of bytes together. */
function within<Item>(bytes: number, items: readonly Item[], textOf: (item: Item) => string): Item[] {
  let left = bytes;
  return items.filter((item) => {
    const size = Buffer.byteLength(textOf(item));
    if (size > left) return false;
    left -= size;
    return true;
  });
}

/** Whether `error` only tells that the call was aborted. */
function raisedByAbort(error: unknown, reason: unknown): boolean {
  if (error === reason) return true;
  if (!(error instanceof Error)) return false;
  return error.name === "AbortError" || error.name === "TimeoutError" || error.cause === reason;
}

/** Connect and this service abort calls for reasons of their own; any other is a client that went away. */
function fromAbort(reason: unknown): ConnectError {
  if (isDomainError(reason)) return fromDomainError(reason);
  if (!(reason instanceof ConnectError)) return new ConnectError("the client cancelled the call", Code.Canceled);
  if (reason.code !== Code.DeadlineExceeded) return reason;
  return fromDomainError(new DomainError("DEADLINE_EXCEEDED", "the call took longer than its deadline"));
}

/** Text in at most so many bytes, without halves of surrogate pairs, which no encoding of the wire knows. */
function cut(text: string, bytes: number): string {
  const whole = text.toWellFormed();
  if (Buffer.byteLength(whole) <= bytes) return whole;
  const part = Buffer.from(whole).subarray(0, bytes - 3);
  // The last character may have lost its end.
  return `${part.toString().replace(/\ufffd+$/, "")}...`;
}
