import { DomainError } from "../../domain/errors.ts";
import { SourceUnavailable } from "../../domain/ports/sources.ts";
import type { Headers } from "../../lib/http/validator.ts";
import { systemCode } from "../../lib/system-error.ts";
import { retryAfterOf } from "./retry-after.ts";

const NETWORK_FAULTS: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: "did not accept a connection in time",
  ETIMEDOUT: "did not accept a connection in time",
  UND_ERR_HEADERS_TIMEOUT: "did not answer in time",
  UND_ERR_BODY_TIMEOUT: "stopped sending",
  UND_ERR_HEADERS_OVERFLOW: "does not speak HTTP as it should",
  UND_ERR_SOCKET: "broke off the connection",
  ECONNRESET: "broke off the connection",
  EPIPE: "broke off the connection",
  ECONNREFUSED: "refuses the connection",
  ENOTFOUND: "has a host name that does not resolve",
  EAI_AGAIN: "has a host name that cannot be resolved now",
};

/**
 * What a fault of the network, of TLS or of HTTP itself means; `subject` is what was asked for. An error without a code is
 * none of these but a fault of ours, and stays what it is.
 */
export function networkFailure(error: unknown, subject: string): unknown {
  // undici gives the errors of its parser a code only now and then.
  const isParserError = error instanceof Error && error.name === "HTTPParserError";
  const code = systemCode(error) ?? (isParserError ? "HPE_UNKNOWN" : undefined);
  if (error instanceof DomainError || code === undefined) return error;
  return faultOfCode(code, error, subject);
}

/** What a fault with a code of the system, of TLS or of an HTTP parser means. */
export function faultOfCode(code: string, cause: unknown, subject: string): SourceUnavailable {
  return new SourceUnavailable(`${subject} ${NETWORK_FAULTS[code] ?? faultOfKind(code)}`, { cause });
}

function faultOfKind(code: string): string {
  if (/CERT|TLS|SSL|SIGNATURE/.test(code)) return `has no valid TLS (${code})`;
  return code.startsWith("HPE_") ? "does not speak HTTP as it should" : "cannot be reached";
}

/** What an answer that is not the one hoped for means. */
export function statusFailure(status: number, headers: Headers, subject: string): DomainError {
  const metadata = { http_status: String(status) };
  if (status === 401 || status === 403) {
    return new DomainError("SOURCE_FORBIDDEN", `${subject} may not be read with the credentials given (${status})`, {
      metadata,
    });
  }
  if (status === 404 || status === 410) {
    return new DomainError("SOURCE_FILE_NOT_FOUND", `${subject} is not there (${status})`, { metadata });
  }
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const words = status === 429 ? "asks for fewer requests" : "cannot answer now";
    return new SourceUnavailable(`${subject} ${words} (${status})`, { metadata, retryAfterMs: retryAfterOf(headers) });
  }
  if (status >= 400) {
    return new DomainError("SOURCE_FORBIDDEN", `${subject} refuses the request (${status})`, { metadata });
  }
  // Asking again would change nothing, so it is not one of the failures that are retried.
  return new DomainError("SOURCE_UNAVAILABLE", `${subject} answers in a way that is not understood (${status})`, {
    metadata,
  });
}
