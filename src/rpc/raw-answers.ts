import { Code } from "@connectrpc/connect";
import type { Call } from "./call.ts";
import { codeName } from "./error-table.ts";
import { encodeGrpcMessage } from "./grpc-message.ts";
import type { PortRequest, PortResponse } from "./port/handler.ts";

/** What the responses of both HTTP versions have in common here. */
interface RawResponse {
  statusCode: number;
  setHeader(name: string, value: string | number): unknown;
  end(): unknown;
  end(data: string): unknown;
}

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
  httpStatus: number,
  message: string,
): void {
  call.outcome = { code };
  // A body that nobody reads would hold the stream open.
  request.resume();
  const out: RawResponse = response;
  if (call.protocol === "connect") {
    out.statusCode = httpStatus;
    out.setHeader("content-type", "application/json");
    out.end(`${JSON.stringify({ code: codeName(code).toLowerCase(), message })}\n`);
    return;
  }
  out.statusCode = 200;
  out.setHeader("content-type", request.headers["content-type"] ?? "application/grpc");
  out.setHeader("grpc-status", code);
  out.setHeader("grpc-message", encodeGrpcMessage(message));
  out.end();
}
