import type { PortRequest, PortResponse } from "./handler.ts";

/** A whole answer, in JSON. */
export interface JsonAnswer {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What can be called on the responses of both HTTP versions. */
export interface AnyResponse {
  statusCode: number;
  setHeader(name: string, value: string | number): unknown;
  end(data?: string): unknown;
}

/** A response of either HTTP version, by what both have in common. */
export function anyResponse(response: PortResponse): AnyResponse {
  return response as AnyResponse;
}

/** Sends an answer, without its body to HEAD. The request's own body is thrown away: unread, it would hold the stream open. */
export function answerJson(
  request: PortRequest,
  response: PortResponse,
  { status, body, headers = {} }: JsonAnswer,
): void {
  request.resume();
  if (isGone(response)) return;
  const out = anyResponse(response);
  const text = `${JSON.stringify(body)}\n`;
  out.statusCode = status;
  out.setHeader("content-type", "application/json; charset=utf-8");
  out.setHeader("content-length", Buffer.byteLength(text));
  out.setHeader("cache-control", "no-store");
  out.setHeader("x-content-type-options", "nosniff");
  for (const [name, value] of Object.entries(headers)) out.setHeader(name, value);
  out.end(request.method === "HEAD" ? undefined : text);
}

/** Whether nobody is left to answer. */
export function isGone(response: PortResponse): boolean {
  return "stream" in response ? response.stream.destroyed : response.destroyed;
}

/** The path that a request is for, without its query; of a proxy's absolute form (`GET http://host/path`) the path alone. */
export function pathOf(request: PortRequest): string {
  const target = (request.url ?? "/").replace(/^https?:\/\/[^/?#]*/i, "");
  return /^[^?#]*/.exec(target)?.[0] || "/";
}
