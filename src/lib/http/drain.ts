import type { PortRequest, PortResponse } from "./handler.ts";

/** How long the rest of a request is read that was answered before its end. */
const DRAIN_MS = 5_000;

/**
 * An answer may be complete before the request is read, such as for a message that is too large. The rest is taken in and
 * thrown away, for clients read an answer only when all is sent, and for HTTP/2 to end the stream; but not for long.
 */
export function drainAfterAnswer(request: PortRequest, response: PortResponse): void {
  const answered = "stream" in response ? response.stream : response;
  answered.once("finish", () => {
    if (request.readableEnded) return;
    request.resume();
    const timer = setTimeout(() => {
      if ("stream" in request) request.stream.close();
      else request.destroy();
    }, DRAIN_MS);
    response.once("close", () => clearTimeout(timer));
    request.once("end", () => clearTimeout(timer));
  });
}
