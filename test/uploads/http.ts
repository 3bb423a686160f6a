import { createHash } from "node:crypto";
import * as http from "node:http";
import { buffer } from "node:stream/consumers";

/** The digest of some bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** What a request was answered with. */
export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as JSON. */
  json(): {
    code?: string;
    message?: string;
    digest?: string;
    size?: number;
    details?: { debug?: { reason?: string } }[];
  };
}

/** Sends one request over HTTP/1.1 and reads its answer to the end. */
export async function send(
  url: string,
  options: { method?: string; headers?: http.OutgoingHttpHeaders; body?: Uint8Array } = {},
): Promise<Answer> {
  const { method = "GET", headers = {}, body } = options;
  const request = http.request(url, { method, headers, agent: false });
  const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
  });
  request.end(body);
  const response = await answered;
  const received = await buffer(response);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: received,
    json: () => JSON.parse(received.toString()),
  };
}

/** Sends a blob, or a piece of it, from `start` up to, not including, `end`. */
export function put(url: string, bytes: Uint8Array, piece?: { start: number; end: number }, digest = digestOf(bytes)) {
  const headers = piece && { "content-range": `bytes ${piece.start}-${piece.end - 1}/${bytes.length}` };
  const body = piece === undefined ? bytes : bytes.subarray(piece.start, piece.end);
  return send(`${url}/blobs/${digest}`, {
    method: "PUT",
    headers: { ...headers, "content-length": body.length },
    body,
  });
}

/** Asks how far the upload of a blob of `total` bytes is. */
export function ask(url: string, digest: string, total: number) {
  const headers = { "content-range": `bytes */${total}`, "content-length": 0 };
  return send(`${url}/blobs/${digest}`, { method: "PUT", headers });
}
