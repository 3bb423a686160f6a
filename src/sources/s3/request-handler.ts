import { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import { DomainError } from "../../domain/errors.ts";
import { discard, type HttpAnswer, type HttpClient } from "../outgoing/http-client.ts";
import { type HandledRequest, urlOfRequest } from "./request-url.ts";

/** Why a request brought no answer, as the cause: the SDK writes on the errors that pass through it. */
export class RequestFailed extends Error {
  constructor(cause: unknown) {
    super("the request brought no answer", { cause });
  }
}

/** More than any page of a list takes. */
const MAX_BODY_BYTES = 32 << 20;

/**
 * What the SDK reaches the server through: our client with its outgoing policy and its limits. It follows no redirects, for a
 * signature is for one address alone.
 */
export function createRequestHandler(client: HttpClient, subject: string): S3Client["config"]["requestHandler"] {
  return {
    metadata: { handlerProtocol: "http/1.1" },
    async handle(request: HandledRequest, { abortSignal }: { abortSignal?: unknown } = {}) {
      const { method, headers } = request;
      if (method !== "GET" && method !== "HEAD") throw new Error(`a source is read only: ${method}`);
      const signal = abortSignal instanceof AbortSignal ? abortSignal : new AbortController().signal;
      const url = urlOfRequest(request);
      const asked = client.send({ url, method, headers, subject, signal, followRedirects: false });
      const answer = await asked.catch((error: unknown) => {
        throw new RequestFailed(error);
      });
      if (method === "HEAD") discard(answer.body);
      const body = Readable.from(method === "HEAD" ? [] : limited(answer.body, subject), { objectMode: false });
      return { response: { statusCode: answer.status, headers: withoutAbsent(answer.headers), body } };
    },
    updateHttpClientConfig() {},
    httpHandlerConfigs: () => ({}),
    destroy() {},
  };
}

async function* limited(body: HttpAnswer["body"], subject: string): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) {
      throw new RequestFailed(new DomainError("SOURCE_UNAVAILABLE", `${subject} answers with more than a page`));
    }
    yield chunk;
  }
}

function withoutAbsent(headers: HttpAnswer["headers"]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
