import { createHash } from "node:crypto";
import { once } from "node:events";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import type { Credentials } from "./certificates.ts";

/** What a path serves: bytes, or a size and a way to make any range of them. */
export type OriginBody = Uint8Array | { readonly size: number; read(start: number, end: number): Iterable<Uint8Array> };

/** How an origin deviates from an honest answer. Everything absent is honest. */
export interface Behavior {
  /** Only the first `times` requests are treated so; the next ones are answered honestly. Default: all. */
  readonly times?: number;
  /** Only requests of these methods are treated so. Default: GET and HEAD. */
  readonly methods?: readonly string[];
  /** Answers this status without the bytes. */
  readonly status?: number;
  /** Further headers of every answer; `null` takes one away. */
  readonly headers?: Readonly<Record<string, string | null>>;
  /** `ignore` answers 200 to a Range; `unsatisfiable` 416; the others send a Content-Range that lies or is not there. */
  readonly ranges?: "ignore" | "unsatisfiable" | "wrong-start" | "wrong-total" | "unnamed";
  /** A strong etag, `null` for none, or a function that is asked at each request. Default: the hash of the bytes. */
  readonly etag?: string | null | (() => string);
  /** Sends the bytes chunked, without a Content-Length. */
  readonly chunked?: boolean;
  /** Ends the body in an orderly way this many bytes early: announced by Content-Range only, if at all. */
  readonly shortBy?: number;
  /** Sends this many bytes more than Content-Range (or, without a Range, the size told before) announces. */
  readonly longBy?: number;
  /** Sends other bytes of the right length. */
  readonly corrupt?: boolean;
  /** Compresses, and says so. */
  readonly gzip?: boolean;
  /** Accepts the request and never answers. */
  readonly hang?: boolean;
  /** Sends this many bytes of the body, then nothing more; the connection stays open. */
  readonly stallAfter?: number;
  /** Sends this many bytes of the body, then breaks the connection. */
  readonly dropAfter?: number;
  /** Answers 302 to this address. */
  readonly redirect?: string | ((request: OriginRequest) => string);
  /** Sends the body at this many bytes a second. */
  readonly bytesPerSecond?: number;
}

/** A request as it arrived. */
export interface OriginRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  /** Bytes of the body that were sent so far. */
  sent: number;
}

export interface OriginOptions {
  /** The loopback address to listen on; default 127.0.0.1. */
  readonly host?: string;
  readonly tls?: Credentials;
  /** Looked at before anything else: a status refuses the request. */
  readonly inspect?: (request: OriginRequest) => number | undefined;
  /** Answers what is not a served path; `false` leaves it to a 404. */
  readonly fallback?: (request: OriginRequest, response: ServerResponse) => boolean;
}

/** A real web server on loopback that serves bytes with ranges, and can be told to lie. */
export interface TestOrigin {
  readonly port: number;
  /** Scheme, host and port. */
  readonly base: string;
  /** Every request, oldest first. */
  readonly requests: readonly OriginRequest[];
  /** Connections ever accepted, and those open now. */
  readonly connections: { readonly total: number; readonly open: number };
  /** Serves `body` at `path` and answers its URL. */
  serve(path: string, body: OriginBody, behavior?: Behavior): string;
  /** Changes how a served path behaves from the next request on. */
  behave(path: string, behavior: Behavior): void;
  /** Requests of one path, the query aside. */
  requestsOf(path: string): OriginRequest[];
  /** Bytes of bodies sent for a path. */
  bytesOf(path: string): number;
  /** Resolves when a request for `path` has come in, or has already. */
  requested(path: string): Promise<void>;
  close(): Promise<void>;
}

interface Entry {
  readonly body: OriginBody;
  readonly size: number;
  readonly etag: string;
  behavior: Behavior;
  used: number;
}

/** Starts an origin on a free port. */
export async function startOrigin(options: OriginOptions = {}): Promise<TestOrigin> {
  const entries = new Map<string, Entry>();
  const requests: OriginRequest[] = [];
  const sockets = new Set<Socket>();
  const waiting = new Map<string, (() => void)[]>();
  let accepted = 0;

  const listener = (incoming: IncomingMessage, response: ServerResponse): void => {
    const path = incoming.url ?? "/";
    const request: OriginRequest = { method: incoming.method ?? "GET", path, headers: incoming.headers, sent: 0 };
    requests.push(request);
    response.on("error", () => {});
    const plain = pathOf(path);
    for (const resolve of waiting.get(plain) ?? []) resolve();
    waiting.delete(plain);
    const refused = options.inspect?.(request);
    if (refused !== undefined) return void response.writeHead(refused).end();
    const entry = entries.get(plain);
    if (entry !== undefined) return void answer(entry, request, response);
    if (options.fallback?.(request, response)) return;
    response.writeHead(404).end("no such file");
  };
  const server = options.tls ? https.createServer({ ...options.tls }, listener) : http.createServer(listener);
  server.on(options.tls ? "secureConnection" : "connection", (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const { host = "127.0.0.1" } = options;
  server.listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const base = `${options.tls ? "https" : "http"}://${host}:${port}`;
  const requestsOf = (path: string) => requests.filter((request) => pathOf(request.path) === path);

  return {
    port,
    base,
    requests,
    connections: {
      get total() {
        return accepted;
      },
      get open() {
        return sockets.size;
      },
    },
    serve(path, body, behavior = {}) {
      const size = body instanceof Uint8Array ? body.byteLength : body.size;
      const etag = `"${createHash("sha1").update(path).update(bytesFor(body)).digest("hex")}"`;
      entries.set(path, { body, size, etag, behavior, used: 0 });
      return base + path;
    },
    behave(path, behavior) {
      const entry = entries.get(path);
      if (entry === undefined) throw new Error(`nothing is served at ${path}`);
      entry.behavior = behavior;
      entry.used = 0;
    },
    requestsOf,
    bytesOf: (path) => requestsOf(path).reduce((sum, { sent }) => sum + sent, 0),
    requested(path) {
      if (requestsOf(path).length > 0) return Promise.resolve();
      return new Promise((resolve) => waiting.set(path, [...(waiting.get(path) ?? []), resolve]));
    },
    async close() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

const pathOf = (url: string): string => url.split("?", 1)[0] ?? url;

/** What an etag is made of: all bytes, or of a generator its size and beginning. */
function bytesFor(body: OriginBody): Uint8Array | string {
  if (body instanceof Uint8Array) return body;
  return `${body.size}:${Buffer.concat([...body.read(0, Math.min(64, body.size))]).toString("hex")}`;
}

async function answer(entry: Entry, request: OriginRequest, response: ServerResponse): Promise<void> {
  const { times = Number.POSITIVE_INFINITY, methods = ["GET", "HEAD"] } = entry.behavior;
  const lies = methods.includes(request.method) && entry.used < times;
  if (lies) entry.used++;
  const behavior: Behavior = lies ? entry.behavior : {};
  if (behavior.hang) return;

  const tag = behavior.etag === undefined ? entry.etag : behavior.etag;
  const etag = typeof tag === "function" ? tag() : tag;
  const headers: Record<string, string | number> = { "content-type": "application/octet-stream" };
  if (etag !== null) headers.etag = etag;
  if (behavior.ranges !== "ignore") headers["accept-ranges"] = "bytes";
  for (const [name, value] of Object.entries(behavior.headers ?? {})) {
    if (value === null) delete headers[name];
    else headers[name] = value;
  }
  if (behavior.redirect !== undefined) {
    headers.location = typeof behavior.redirect === "string" ? behavior.redirect : behavior.redirect(request);
    return void response.writeHead(302, headers).end();
  }
  if (behavior.status !== undefined) return void response.writeHead(behavior.status, headers).end("refused");

  const range = behavior.ranges === "ignore" ? undefined : rangeOf(request, entry.size, etag);
  if (range === "unsatisfiable" || (behavior.ranges === "unsatisfiable" && request.headers.range !== undefined)) {
    return void response.writeHead(416, { ...headers, "content-range": `bytes */${entry.size}` }).end();
  }
  const { start, end } = range ?? { start: 0, end: entry.size };
  if (range !== undefined && behavior.ranges !== "unnamed") {
    const first = start + (behavior.ranges === "wrong-start" ? 1 : 0);
    const total = entry.size + (behavior.ranges === "wrong-total" ? 1 : 0);
    headers["content-range"] = `bytes ${first}-${end - 1}/${total}`;
  }
  const odd = behavior.shortBy !== undefined || behavior.longBy !== undefined;
  if (!behavior.chunked && !(odd && request.method === "GET")) headers["content-length"] = end - start;
  if (behavior.gzip) {
    headers["content-encoding"] = "gzip";
    delete headers["content-length"];
  }
  response.writeHead(range === undefined ? 200 : 206, headers);
  if (request.method === "HEAD") return void response.end();
  await send(entry, start, end, behavior, request, response);
}

/** The Range of a request, as offsets; undefined if the whole is to be sent. */
function rangeOf(
  { headers }: OriginRequest,
  size: number,
  etag: string | null,
): { start: number; end: number } | "unsatisfiable" | undefined {
  const match = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "");
  if (match === null || (headers["if-range"] !== undefined && headers["if-range"] !== etag)) return undefined;
  const start = Number(match[1]);
  if (start >= size) return "unsatisfiable";
  return { start, end: match[2] ? Math.min(Number(match[2]) + 1, size) : size };
}

async function send(
  { body }: Entry,
  start: number,
  fullEnd: number,
  behavior: Behavior,
  request: OriginRequest,
  response: ServerResponse,
): Promise<void> {
  const end = fullEnd - (behavior.shortBy ?? 0);
  if (behavior.gzip) return void response.end(gzipSync(Buffer.concat([...read(body, start, end)])));
  const limit = Math.min(behavior.stallAfter ?? Infinity, behavior.dropAfter ?? Infinity);
  const pieces = behavior.longBy
    ? [...read(body, start, end), new Uint8Array(behavior.longBy)]
    : read(body, start, end);
  response.flushHeaders();
  for (const whole of pieces) {
    for (const piece of slices(whole, behavior.bytesPerSecond)) {
      const chunk = Buffer.from(piece.subarray(0, limit - request.sent));
      if (behavior.corrupt && chunk.length > 0) chunk[0] = (chunk[0] ?? 0) ^ 0xff;
      if (response.destroyed) return;
      request.sent += chunk.length;
      if (chunk.length > 0 && !response.write(chunk)) await writable(response);
      if (request.sent >= limit) {
        // What was written goes out before the connection breaks.
        if (behavior.dropAfter !== undefined) response.socket?.end(() => response.destroy());
        return;
      }
      if (behavior.bytesPerSecond !== undefined) await setTimeout((1000 * chunk.length) / behavior.bytesPerSecond);
    }
  }
  response.end();
}

/** Resolves when more can be written, or nothing ever again. */
async function writable(response: ServerResponse): Promise<void> {
  const either = new AbortController();
  const settled = ["drain", "close"].map((event) => once(response, event, { signal: either.signal }).catch(() => {}));
  await Promise.race(settled);
  either.abort();
}

function* read(body: OriginBody, start: number, end: number): Iterable<Uint8Array> {
  if (!(body instanceof Uint8Array)) return yield* body.read(start, end);
  for (let at = start; at < end; at += 1 << 18) yield body.subarray(at, Math.min(at + (1 << 18), end));
}

/** Cuts a chunk so that a throttled body arrives in twenty pieces a second. */
function* slices(chunk: Uint8Array, bytesPerSecond: number | undefined): Iterable<Uint8Array> {
  const step = bytesPerSecond === undefined ? chunk.length : Math.max(1, Math.floor(bytesPerSecond / 20));
  for (let at = 0; at < chunk.length; at += step) yield chunk.subarray(at, at + step);
}
