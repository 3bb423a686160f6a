import { randomUUID } from "node:crypto";
import { Code, ConnectError, type ConnectRouter, createContextValues } from "@connectrpc/connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { Logger } from "../domain/logger.ts";
import { isGone, pathOf } from "../lib/http/answer.ts";
import { drainAfterAnswer } from "../lib/http/drain.ts";
import type { PortHandler, PortRequest, PortResponse } from "../lib/http/handler.ts";
import { type AnswerEnd, logCall } from "./access-log.ts";
import { type Call, callKey } from "./call.ts";
import { dropEndlessTimeout } from "./deadline.ts";
import { withGrpcMessage } from "./grpc-message.ts";
import { answerBadRequest, answerUnknownMethod, answerWrongForm } from "./raw-answers.ts";

/** Header that carries the id of a call, both ways. */
export const REQUEST_ID_HEADER = "x-request-id";
const REQUEST_ID = /^[\w.:/+=@-]{1,128}$/;

/** How Connect says, without a word more, that it does not take a content type, an HTTP method or an HTTP version. */
const WRONG_FORM: ReadonlySet<number> = new Set([415, 405, 505]);

/**
 * Joins Connect's handlers to node's servers of either HTTP version: gives each call its id, hands it to the handler of its
 * path, sends the answer, and writes one line of log when it is over.
 */
export function createAdapter(router: ConnectRouter, log: Logger): PortHandler {
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return (request, response) => {
    const path = pathOf(request);
    const call = beginCall(request, path);
    response.setHeader(REQUEST_ID_HEADER, call.id);
    response.once("close", () => logCall(log, call, answerEnd(response)));
    drainAfterAnswer(request, response);

    const handler = handlers.get(path);
    if (handler === undefined) {
      answerUnknownMethod(request, response, call);
      return;
    }
    let universal: ReturnType<typeof universalRequestFromNodeRequest>;
    try {
      const values = createContextValues().set(callKey, call);
      universal = universalRequestFromNodeRequest(request, response, undefined, values);
    } catch {
      answerBadRequest(request, response, call);
      return;
    }
    dropEndlessTimeout(universal.header);
    // Left before its end, the request must not be destroyed with the answer still to be sent.
    const body = request.iterator({ destroyOnReturn: false });
    handler({ ...universal, body })
      .then(async (answer) => {
        if (WRONG_FORM.has(answer.status)) answerWrongForm(request, response, call, answer.status, handler.method);
        else await universalResponseToNodeResponse(withGrpcMessage(answer), response);
      })
      .catch((error: unknown) => {
        // Whoever went away gets no answer.
        if (isGone(response) || ConnectError.from(error).code === Code.Aborted) return;
        call.outcome = { code: Code.Internal, error };
        response.destroy();
      });
  };
}

function beginCall(request: PortRequest, path: string): Call {
  const given = request.headers[REQUEST_ID_HEADER];
  const { remoteAddress = "", remotePort = 0 } = request.socket;
  const contentType = request.headers["content-type"] ?? "";
  return {
    id: typeof given === "string" && REQUEST_ID.test(given) ? given : randomUUID(),
    method: path.slice(1, 201),
    protocol: /^application\/grpc-web/i.test(contentType)
      ? "grpc-web"
      : /^application\/grpc/i.test(contentType)
        ? "grpc"
        : "connect",
    httpVersion: request.httpVersion,
    peer: remoteAddress.includes(":") ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`,
    startMs: performance.now(),
  };
}

function answerEnd(response: PortResponse): AnswerEnd {
  // An HTTP/2 response says that it finished even if its stream was reset.
  const complete =
    "stream" in response ? response.writableEnded && response.stream.rstCode === 0 : response.writableFinished;
  return { complete };
}
