import { createHash, randomBytes } from "node:crypto";
import type { Answer, Exchange, RawHead, RawRequest } from "../../../support/lying-origin.ts";

export const MiB = 1024 * 1024;
/** Large enough for several ranges, and no multiple of any piece. */
export const SIZE = 6 * MiB + 12_345;

/** An object as an origin holds it. */
export interface Content {
  readonly bytes: Uint8Array;
  readonly sha256: string;
  /** What its answers name it by; absent for nothing. */
  readonly etag?: string;
  /** Its Last-Modified; absent for nothing. */
  readonly modified?: string;
}

const base = randomBytes(SIZE);

/** Bytes that were never there before: each 64 KiB of them begin with something new. */
function freshBytes(size: number): Uint8Array {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += base.length) base.copy(bytes, at);
  const stamp = randomBytes(16);
  for (let at = 0; at < size; at += 1 << 16) stamp.copy(bytes, at);
  return bytes;
}

/** Fresh bytes, named by a strong etag unless told otherwise. */
export function content(changes: Partial<Content> & { size?: number } = {}): Content {
  const { size = SIZE, bytes = freshBytes(size), ...names } = changes;
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { etag: `"${sha256.slice(0, 16)}"`, ...names, bytes, sha256 };
}

/** Bytes from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** What an honest answer is bent by. */
export interface Bend {
  /** Sends this instead of what the request asks for. */
  readonly span?: Span;
  /** The range is not looked at. */
  readonly whole?: boolean;
  /** If-Range is not looked at. */
  readonly anyVersion?: boolean;
  readonly line?: string;
  readonly status?: number;
  readonly pauseMs?: number;
  /** In place of the honest headers, or beside them; `undefined` takes one away. */
  readonly headers?: RawHead["headers"] | ((span: Span) => RawHead["headers"]);
  /** Ends the connection after so many bytes of the body. */
  readonly cutAfter?: number | ((length: number) => number);
  /** The body instead of the honest one. */
  readonly body?: Uint8Array | ((bytes: Uint8Array) => Uint8Array);
}

/** The range that a request asks for; undefined if it asks for all. */
export function askedSpan({ headers }: RawRequest, size: number): Span | undefined {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
  if (first === undefined || Number(first) >= size) return undefined;
  return { start: Number(first), end: last ? Math.min(Number(last) + 1, size) : size };
}

/** Answers a request for an object as a good server does, but for the bend. */
export async function reply(exchange: Exchange, object: Content, bend: Bend = {}): Promise<void> {
  const { request } = exchange;
  const { bytes, etag, modified } = object;
  const condition = request.headers["if-range"];
  const isCurrent = bend.anyVersion || condition === undefined || condition === etag || condition === modified;
  const asked = bend.whole || !isCurrent ? undefined : (bend.span ?? askedSpan(request, bytes.length));
  const { start, end } = asked ?? { start: 0, end: bytes.length };
  const body = bytes.subarray(start, end);
  const sentBody = typeof bend.body === "function" ? bend.body(body) : (bend.body ?? body);
  await exchange.head({
    line: bend.line,
    pauseMs: bend.pauseMs,
    status: bend.status ?? (asked === undefined ? 200 : 206),
    headers: {
      date: new Date().toUTCString(),
      "content-type": "application/octet-stream",
      "accept-ranges": "bytes",
      etag,
      "last-modified": modified,
      "content-length": end - start,
      "content-range": asked && `bytes ${start}-${end - 1}/${bytes.length}`,
      ...(typeof bend.headers === "function" ? bend.headers({ start, end }) : bend.headers),
    },
  });
  if (request.method === "HEAD") return;
  const { cutAfter } = bend;
  const limit = typeof cutAfter === "function" ? cutAfter(sentBody.length) : cutAfter;
  await exchange.write(limit === undefined ? sentBody : sentBody.subarray(0, limit));
  if (limit !== undefined && limit <= sentBody.length) await exchange.end();
}

/** Says the truth about the object to HEAD, and lies to GET. */
export function lieToGet(object: Content, lie: Answer): Answer {
  return (exchange) => (exchange.request.method === "GET" ? lie(exchange) : reply(exchange, object));
}

/** Lies to GETs for a range alone. */
export function lieToRanges(object: Content, lie: Answer): Answer {
  return lieToGet(object, (exchange) =>
    exchange.request.headers.range === undefined ? reply(exchange, object) : lie(exchange),
  );
}

/** Breaks the very first GET off after a third of what it asked for, so that the rest has to be asked for. */
export function cutFirst(object: Content, then: Answer): Answer {
  return (exchange) => {
    const { method, nth } = exchange.request;
    const isFirst = method === "GET" && nth === 0;
    return isFirst ? reply(exchange, object, { cutAfter: (length) => Math.floor(length / 3) }) : then(exchange);
  };
}

/** A body in chunks, with the end that chunked bodies have. */
export function chunked(bytes: Uint8Array, pieceBytes = 100_000): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = bytes.subarray(at, at + pieceBytes);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n"));
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

/** The same bytes but one. */
export function falsified(bytes: Uint8Array, at = Math.floor(bytes.length / 2)): Uint8Array {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}
