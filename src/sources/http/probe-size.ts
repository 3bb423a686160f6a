import { parseContentLength, parseContentRange } from "../../lib/http/content-range.ts";
import { statusFailure } from "../outgoing/failures.ts";
import { discard, type HttpAnswer, type HttpClient } from "../outgoing/http-client.ts";
import { type HttpTarget, nameOf } from "../outgoing/open-range.ts";

/**
 * Asks for the size of a file without its bytes: by HEAD, and where that is refused or says nothing by asking for the first
 * byte (servers that sign addresses sign them for GET alone). Undefined if the server does not say it.
 */
export async function probeSize(
  client: HttpClient,
  target: HttpTarget,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { url, token, subject } = target;
  const head = await client.send({ url, token, subject, method: "HEAD", signal });
  discard(head.body);
  const size = head.status === 200 && isPlain(head) ? parseContentLength(head.headers["content-length"]) : undefined;
  if (size !== undefined) return size;
  if (head.status === 429 || head.status >= 500) {
    if (head.status !== 501) throw statusFailure(head.status, head.headers, nameOf(target));
  }

  const part = await client.send({ url, token, subject, headers: { range: "bytes=0-0" }, signal });
  // The first byte is of no use, and if the server sends all, that is not wanted here.
  discard(part.body);
  if (part.status === 206) return parseContentRange(part.headers["content-range"])?.total;
  if (part.status === 200) return isPlain(part) ? parseContentLength(part.headers["content-length"]) : undefined;
  // No first byte can be had of an empty file.
  if (part.status === 416) return part.headers["content-range"] === "bytes */0" ? 0 : undefined;
  throw statusFailure(part.status, part.headers, nameOf(target));
}

/** Of a compressed answer the length says nothing about the file. */
function isPlain({ headers }: HttpAnswer): boolean {
  return (headers["content-encoding"] ?? "identity") === "identity";
}
