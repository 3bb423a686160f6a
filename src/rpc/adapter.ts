import { randomUUID } from "node:crypto";
import { Code, ConnectError, type ConnectRouter, createContextValues } from "@connectrpc/connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { Logger } from "../domain/logger.ts";
import { type AnswerEnd, logCall } from "./access-log.ts";
import { type Call, callKey } from "./call.ts";
import { withGrpcMessage } from "./grpc-message.ts";
import type { PortHandler, PortRequest, PortResponse } from "./port/handler.ts";
import { answerBadRequest, answerUnknownMethod } from "./raw-answers.ts";

/** Header that carries the id of a call, both ways. */
export const REQUEST_ID_HEADER = "x-request-id";
const REQUEST_ID = /^[\w.:/+=@-]{1,128}$/;

/**
 * Joins Connect's handlers to node's servers of either HTTP version: gives each call its id, hands it to the handler of its
 * path, sends the answer, and writes one line of log when it is over.
 */
export function createAdapter(router: ConnectRouter, log: Logger): PortHandler {
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return (request, response) => {
    const path = pathOf(request);
    const call = beginCall(request, path);
    setHeader(response, REQUEST_ID_HEADER, call.id);
    response.once("close", () => logCall(log, call, answerEnd(response)));

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
    handler(universal)
      .then((answer) => universalResponseToNodeResponse(withGrpcMessage(answer), response))
      .catch((error: unknown) => {
        // Whoever went away gets no answer.
        if (isGone(response)) return;
        call.outcome = { code: ConnectError.from(error).code, error };
        destroy(response);
      });
  };
}
