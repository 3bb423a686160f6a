import { randomUUID } from "node:crypto";
import { parseDigest } from "../domain/digest.ts";
import { isDomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { BlobHandler } from "../domain/ports/blob-handlers.ts";
import { answerJson, anyResponse, isGone, pathOf } from "../lib/http/answer.ts";
import { drainAfterAnswer } from "../lib/http/drain.ts";
import type { PortHandler, PortRequest, PortResponse } from "../lib/http/handler.ts";
import { answerError } from "./http-errors.ts";
import { shuttingDown } from "./running-streams.ts";

/** The status that is logged where nobody was left to answer. */
const CLIENT_GONE = 499;

/** Where blobs are. */
export const BLOBS_PATH = "/blobs/";

export interface BlobRoutesOptions {
  /** Answers GET and HEAD. */
  readonly send: BlobHandler;
  /** Answers PUT. */
  readonly receive: BlobHandler;
  /** Once aborted, requests are refused. */
  readonly shutdown: AbortSignal;
  readonly log: Logger;
}

/** Answers requests below {@link BLOBS_PATH}, and writes one line of log for each. */
export function createBlobRoutes({ send, receive, shutdown, log }: BlobRoutesOptions): PortHandler {
  const handlers: Readonly<Record<string, BlobHandler>> = { GET: send, HEAD: send, PUT: receive };

  async function answer(request: PortRequest, response: PortResponse): Promise<void> {
    const { method = "" } = request;
    const handler = handlers[method];
    if (handler === undefined) {
      const body = { code: "unimplemented", message: "blobs can only be read and put" };
      answerJson(request, response, { status: 405, body, headers: { allow: "GET, HEAD, PUT" } });
      return;
    }
    if (shutdown.aborted) throw shuttingDown();
    await handler(parseDigest("digest", digestText(request)), request, response);
  }

  return (request, response) => {
    const startMs = performance.now();
    let failure: unknown;
    response.once("close", () => {
      const status = response.headersSent ? anyResponse(response).statusCode : CLIENT_GONE;
      logRequest(log, request, { status, startMs, failure });
    });
    drainAfterAnswer(request, response);
    answer(request, response).catch((error: unknown) => {
      failure = error;
      if (isGone(response)) return;
      // An answer that broke off must not look whole.
      if (response.headersSent) response.destroy();
      else answerError(request, response, error);
    });
  };
}

function digestText(request: PortRequest): string {
  const text = pathOf(request).slice(BLOBS_PATH.length);
  // Some clients escape the colon.
  return text.replace(/^sha256%3a/i, "sha256:");
}

function logRequest(
  log: Logger,
  request: PortRequest,
  { status, startMs, failure }: { status: number; startMs: number; failure: unknown },
): void {
  const isFault = failure !== undefined && status !== CLIENT_GONE && !isDomainError(failure);
  log[isFault ? "error" : status >= 500 ? "warn" : "info"]("blob request", {
    request_id: randomUUID(),
    method: request.method,
    path: pathOf(request).slice(0, 100),
    status,
    duration_ms: Math.round((performance.now() - startMs) * 10) / 10,
    peer: request.socket?.remoteAddress ?? "",
    http: request.httpVersion,
    ...(isDomainError(failure) ? { reason: failure.reason, told: failure.message, cause: failure.cause } : {}),
    ...(isFault ? { error: failure } : {}),
  });
}
