import { codeToHttpStatus, errorToJson } from "@connectrpc/connect/protocol-connect";
import { isDomainError, type Reason } from "../domain/errors.ts";
import { answerJson } from "../lib/http/answer.ts";
import type { PortRequest, PortResponse } from "../lib/http/handler.ts";
import { toConnectError } from "./errors.ts";

/** Where HTTP has a better word than that of the code. */
const STATUS_OF_REASON: Partial<Record<Reason, number>> = {
  CONTENT_MISMATCH: 422,
  RANGE_NOT_SATISFIABLE: 416,
  DISK_FULL: 507,
  QUOTA_EXCEEDED: 507,
};

/** Answers an error as Connect does: its HTTP status, and JSON of code, message and details. */
export function answerError(request: PortRequest, response: PortResponse, error: unknown): void {
  const travelling = toConnectError(error);
  const special = isDomainError(error) ? STATUS_OF_REASON[error.reason] : undefined;
  const status = special ?? codeToHttpStatus(travelling.code);
  answerJson(request, response, { status, body: errorToJson(travelling, undefined) as object });
}
