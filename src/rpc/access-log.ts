import { Code, ConnectError } from "@connectrpc/connect";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { isDomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { Call, Outcome } from "./call.ts";
import { codeName } from "./error-table.ts";

type Level = "debug" | "info" | "warn" | "error";

/** Faults of the service: an operator should look. */
const FAULTS: ReadonlySet<Outcome["code"]> = new Set([Code.Internal, Code.Unknown, Code.DataLoss]);
/** What the service copes with, and an operator may want to change. */
const TROUBLES: ReadonlySet<Outcome["code"]> = new Set([
  Code.Unavailable,
  Code.ResourceExhausted,
  Code.DeadlineExceeded,
  Code.Unauthenticated,
  Code.PermissionDenied,
]);

/** Where the answer of a call stands once it is over. */
export interface AnswerEnd {
  /** All of it was handed to the network. */
  readonly complete: boolean;
}

/** Writes one line for a call that is over: what, for whom, how it went, how long it took. */
export function logCall(log: Logger, call: Call, end: AnswerEnd): void {
  const outcome = outcomeOf(call, end);
  const { code, error } = outcome;
  const level = levelOf(call, outcome);
  log[level]("call", {
    request_id: call.id,
    method: call.method,
    code: code === "OK" ? code : codeName(code),
    duration_ms: Math.round((performance.now() - call.startMs) * 10) / 10,
    peer: call.peer,
    protocol: call.protocol,
    http: call.httpVersion,
    ...(call.sent === undefined ? {} : { sent: call.sent }),
    ...(isDomainError(error) ? { reason: error.reason } : {}),
    ...(code === "OK" ? {} : detail(level, error)),
  });
}

/** For faults the whole error; else what the caller was told, and what it was not told. */
function detail(level: Level, error: unknown): Record<string, unknown> {
  if (level === "error") return { error };
  if (!(error instanceof Error)) return {};
  const told = withoutQuotedValue(error instanceof ConnectError ? error.rawMessage : error.message);
  return isDomainError(error) && error.cause !== undefined ? { told, cause: error.cause } : { told };
}

/** What cannot be decoded is quoted by the library; it may be a secret in the wrong place. */
function withoutQuotedValue(message: string): string {
  return message.replace(/^(cannot decode \S+ .*? from JSON).*$/s, "$1");
}

function outcomeOf({ outcome, abortReason }: Call, end: AnswerEnd): Outcome {
  if (outcome !== undefined && outcome.code !== "OK") return outcome;
  // It ended before its handler or after it: undecodable, too large, cancelled, or an answer that cannot be encoded.
  if (abortReason instanceof ConnectError) return { code: abortReason.code, error: abortReason };
  if (!end.complete) return { code: Code.Canceled };
  // What has no outcome by now was refused by its HTTP method, version or content type.
  return outcome ?? { code: Code.Unimplemented };
}

function levelOf(call: Call, { code }: Outcome): Level {
  // What never reached its handler is its client's fault, whatever the code.
  if (FAULTS.has(code)) return call.outcome === undefined ? "warn" : "error";
  if (TROUBLES.has(code)) return "warn";
  // Probes ask every few seconds.
  return call.method.startsWith(`${Health.typeName}/`) ? "debug" : "info";
}
