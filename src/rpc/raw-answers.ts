import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { answerJson, anyResponse } from "../lib/http/answer.ts";
import type { PortRequest, PortResponse } from "../lib/http/handler.ts";
import type { Call } from "./call.ts";
import { codeName } from "./error-table.ts";
import { encodeGrpcMessage } from "./grpc-message.ts";

/** Answers a call of a method that no service has, in the call's own protocol. */
export function answerUnknownMethod(request: PortRequest, response: PortResponse, call: Call): void {
  answer(request, response, call, Code.Unimplemented, 404, `there is no method ${call.method}`);
}

/** Answers a call whose HTTP head makes no sense, such as one without a host. */
export function answerBadRequest(request: PortRequest, response: PortResponse, call: Call): void {
  answer(request, response, call, Code.InvalidArgument, 400, "the request's host or path is malformed");
}

/** Answers a call whose HTTP method, version or content type its method does not take, and says what would be right. */
export function answerWrongForm(
  request: PortRequest,
  response: PortResponse,
  call: Call,
  status: number,
  { methodKind, idempotency }: DescMethod,
): void {
  const code = status === 415 ? Code.InvalidArgument : Code.Unimplemented;
  call.outcome = { code };
  const allow = idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ? "GET, POST" : "POST";
  answerJson(request, response, {
    status,
    body: { code: codeName(code).toLowerCase(), message: rightForm(status, request.method === "GET", methodKind) },
    headers: status === 405 ? { allow } : {},
  });
}

function rightForm(status: number, isGet: boolean, methodKind: DescMethod["methodKind"]): string {
  if (status === 505) return "gRPC needs HTTP/2; over HTTP/1.1 use gRPC-Web or Connect";
  if (methodKind !== "unary") {
    return (
      "this method streams: call it by POST with gRPC, gRPC-Web or Connect's content type application/connect+json, as " +
      "grpcurl, 'buf curl' and generated clients do"
    );
  }
  if (isGet && status === 415)
    return "send the request in the query: ?encoding=json&message=<URL-encoded JSON>, such as {}";
  return "send the request by POST as JSON, such as {}, with the header 'content-type: application/json'";
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
