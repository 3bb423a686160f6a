import { DomainError } from "../../domain/errors.ts";
import { type OpenedRange, type OpenRequest, SourceUnavailable } from "../../domain/ports/sources.ts";
import { parseContentLength, parseContentRange } from "../../lib/http/content-range.ts";
import { validatorOf } from "../../lib/http/validator.ts";
import type { Proof } from "./authorization.ts";
import { networkFailure, statusFailure } from "./failures.ts";
import { discard, type HttpAnswer, type HttpClient } from "./http-client.ts";
import { shownUrl } from "./url.ts";

/** A file on a web server. */
export interface HttpTarget {
  readonly url: URL;
  readonly token?: Proof;
  /** The size that the source told earlier: what counts if an answer does not say it. */
  readonly size?: number;
  /** The file as messages name it; default the URL without its query. */
  readonly subject?: string;
  /** Says what a refusal means where the source has words of its own for it. */
  readonly refusal?: (answer: Pick<HttpAnswer, "status" | "headers">) => DomainError;
  /**
   * Names bytes that can never change, where the address pins them. Then servers are not asked to compare validators, which
   * they may choose anew on each of the machines that hold the same bytes.
   */
  readonly immutable?: string;
  /**
   * The strong etag that the object must have. It is asked for by If-Match and looked for in the answer, since not every server
   * compares; `refusal` is told of 412 either way.
   */
  readonly etag?: string;
}

/**
 * Opens a file at an offset. Nothing is assumed of the answer: where it cannot be a continuation from there, it is the whole
 * file from 0, asked for again if need be. Its body must be read, or the signal fired, or a connection stays taken.
 */
export async function openRange(client: HttpClient, target: HttpTarget, request: OpenRequest): Promise<OpenedRange> {
  const isSame = target.immutable === undefined || (request.validator ?? target.immutable) === target.immutable;
  const continued = request.offset > 0 && isSame ? await openAt(client, target, request) : undefined;
  if (continued !== undefined) return continued;
  const answer = await send(client, target, request, {});
  if (answer.status !== 200) throw refused(answer, target);
  return opened(answer, target, request.signal, { offset: 0 });
}

/** Undefined if the server cannot be asked to continue from there. */
async function openAt(client: HttpClient, target: HttpTarget, request: OpenRequest): Promise<OpenedRange | undefined> {
  const headers: Record<string, string> = { range: `bytes=${request.offset}-` };
  if (request.validator !== undefined && target.immutable === undefined) headers["if-range"] = request.validator;
  const answer = await send(client, target, request, headers);
  if (answer.status === 200) return opened(answer, target, request.signal, { offset: 0 });
  if (answer.status !== 206 && answer.status !== 416) throw refused(answer, target);
  const range = answer.status === 206 ? parseContentRange(answer.headers["content-range"]) : undefined;
  const validator = target.immutable ?? validatorOf(answer.headers);
  const changed = request.validator !== undefined && validator !== request.validator;
  if (range === undefined || range.start !== request.offset || changed) {
    discard(answer.body);
    return undefined;
  }
  return opened(answer, target, request.signal, { offset: range.start, end: range.end, size: range.total });
}

async function send(
  client: HttpClient,
  target: HttpTarget,
  { signal }: OpenRequest,
  headers: Record<string, string>,
): Promise<HttpAnswer> {
  const { url, token, subject, etag } = target;
  const pinned = etag === undefined ? headers : { ...headers, "if-match": etag };
  const answer = await client.send({ url, token, subject, headers: pinned, signal });
  if (etag !== undefined && answer.status < 300 && validatorOf(answer.headers) !== etag) {
    throw refused({ ...answer, status: 412 }, target);
  }
  const { "content-encoding": encoding = "identity", "transfer-encoding": transfer = "chunked" } = answer.headers;
  if (encoding === "identity" && transfer === "chunked") return answer;
  discard(answer.body);
  throw new DomainError(
    "CONTENT_MISMATCH",
    `${nameOf(target)} comes compressed although it was asked for as it is: its bytes cannot be checked`,
  );
}

function refused(answer: HttpAnswer, target: HttpTarget): DomainError {
  discard(answer.body);
  return target.refusal?.(answer) ?? statusFailure(answer.status, answer.headers, nameOf(target));
}

/** A file as messages name it. */
export const nameOf = ({ subject, url }: HttpTarget): string => subject ?? shownUrl(url);

function opened(
  answer: HttpAnswer,
  target: HttpTarget,
  signal: AbortSignal,
  range: { offset: number; end?: number; size?: number },
): OpenedRange {
  const size = range.end === undefined ? parseContentLength(answer.headers["content-length"]) : range.size;
  const wholeEnd = size ?? range.end ?? target.size;
  const length = {
    subject: nameOf(target),
    most: lengthFrom(range.offset, range.end ?? wholeEnd),
    wanted: lengthFrom(range.offset, wholeEnd),
  };
  return {
    offset: range.offset,
    size,
    validator: target.immutable ?? validatorOf(answer.headers),
    body: counted(answer.body, length, signal),
  };
}

function lengthFrom(offset: number, end: number | undefined): number | undefined {
  return end === undefined ? undefined : end - offset;
}

interface AnnouncedLength {
  readonly subject: string;
  /** What the answer says that it holds. */
  readonly most?: number;
  /** What is there up to the end of the file: more, if the server answers in smaller parts than it was asked for. */
  readonly wanted?: number;
}

/** The bytes of a body, held to the length that was announced. */
async function* counted(
  body: HttpAnswer["body"],
  { subject, most, wanted }: AnnouncedLength,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let received = 0;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      received += chunk.length;
      if (most !== undefined && received > most) {
        throw new DomainError("CONTENT_MISMATCH", `${subject} sends more than the ${most} bytes that it announced`);
      }
      yield chunk;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw networkFailure(error, subject);
  }
  signal.throwIfAborted();
  if (wanted !== undefined && received < wanted) {
    throw new SourceUnavailable(`${subject} ended after ${received} of ${wanted} bytes`);
  }
}
