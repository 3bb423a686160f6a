import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import { join } from "node:path";
import S3rver from "@20minutes/s3rver";
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";

/** A request that a server got. */
export type S3Request = http.IncomingMessage;

/** An S3 server of this process. It ignores If-Match and keeps no versions; strangers may read all that is not guarded. */
export interface S3Server {
  readonly port: number;
  readonly endpoint: string;
  /** Reads and writes it as its owner. */
  readonly client: S3Client;
  /** Method and address of every request, in order. */
  readonly requests: readonly string[];
  /** Takes a request over from the server; undefined for none. */
  intercept: ((request: S3Request, response: http.ServerResponse) => boolean) | undefined;
  close(): Promise<void>;
}

/** The only key that the server knows. */
export const S3_KEY = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };

/** Keys below are for those who sign alone. */
const GUARDED = /^\/[^/?]+\/guarded\/|[?&]prefix=guarded%2F/;

/** Starts a server with buckets. */
export async function startS3Server(...buckets: readonly string[]): Promise<S3Server> {
  const directory = await mkdtemp(join(os.tmpdir(), "s3-server-"));
  const options = { directory, silent: true, vhostBuckets: false, configureBuckets: buckets.map((name) => ({ name })) };
  const strict = new S3rver(options);
  await strict.configureBuckets();
  const ofObjects = strict.callback();
  // It reckons with a bucket's address without the slash that the SDK signs at its end.
  const ofBuckets = new S3rver({ ...options, allowMismatchedSignatures: true }).callback();
  const requests: string[] = [];
  const server = http.createServer((request, response) => {
    const { method, url = "" } = request;
    requests.push(`${method} ${url}`);
    if (started.intercept?.(request, response)) return;
    const signed = request.headers.authorization !== undefined || url.includes("X-Amz-Signature=");
    if (GUARDED.test(url) && !signed) refuse(response, 403, "AccessDenied");
    else if (/^\/[^/?]+\/?(?:\?|$)/.test(url)) ofBuckets(request, escapedOnce(response));
    else ofObjects(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new S3Client(clientOptions(endpoint));
  const started: S3Server = {
    port,
    endpoint,
    client,
    requests,
    intercept: undefined,
    async close() {
      client.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(directory, { recursive: true, force: true });
    },
  };
  return started;
}

/** The server escapes what stands in its lists twice. */
function escapedOnce(response: http.ServerResponse): http.ServerResponse {
  const end = response.end.bind(response);
  response.end = (body?: unknown) => {
    const text = Buffer.from(typeof body === "string" ? body.replaceAll("&amp;", "&") : "");
    response.setHeader("content-length", text.length);
    return end(text);
  };
  return response;
}

/** How the owner of a server reaches it. */
export function clientOptions(endpoint: string, credentials = S3_KEY): S3ClientConfig {
  return {
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials,
    requestChecksumCalculation: "WHEN_REQUIRED",
  };
}

/** Answers with an error of S3. */
export function refuse(
  response: http.ServerResponse,
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
  more = "",
): void {
  response.writeHead(status, { "content-type": "application/xml", ...headers });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message>${more}</Error>`);
}
