import { Code } from "@connectrpc/connect";
import type { Call } from "./call.ts";
import { codeName } from "./error-table.ts";
import { encodeGrpcMessage } from "./grpc-message.ts";
import { answerJson, anyResponse } from "./port/answer.ts";
import type { PortRequest, PortResponse } from "./port/handler.ts";

/** Answers a call of a method that no service has, in the call's own protocol. */
export function answerUnknownMethod(request: PortRequest, response: PortResponse, call: Call): void {
  answer(request, response, call, Code.Unimplemented, 404, `there is no method ${call.method}`);
}

/** Answers a call whose HTTP head makes no sense, such as one without a host. */
export function answerBadRequest(request: PortRequest, response: PortResponse, call: Call): void {
  answer(request, response, call, Code.InvalidArgument, 400, "the request's host or path is malformed");
}

/** For gRPC and gRPC-Web an answer of trailers only, else Connect's JSON with an HTTP status. */
function answer(
  request: PortRequest,
  response: PortResponse,
  call: Call,
  code: Code,
  status: number,
  message: string,
): void {
  call.outcome = { code };
  if (call.protocol === "connect") {
    answerJson(request, response, { status, body: { code: codeName(code).toLowerCase(), message } });
    return;
  }
  // A body that nobody reads would hold the stream open.
  request.resume();
  const out = anyResponse(response);
  out.statusCode = 200;
  out.setHeader("content-type", request.headers["content-type"] ?? "application/grpc");
  out.setHeader("grpc-status", code);
  out.setHeader("grpc-message", encodeGrpcMessage(message));
  out.end();
}
