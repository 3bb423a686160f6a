import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import type { Credentials } from "./certificates.ts";

/** A request as it stood on the wire. */
export interface RawRequest {
  readonly method: string;
  /** As it was sent: path and query. */
  readonly target: string;
  /** By lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** How many requests of this method came before it. */
  readonly nth: number;
}

/** The head of an answer; what is absent is left out of it. */
export interface RawHead {
  /** The whole first line; default the one of `status`. */
  readonly line?: string;
  /** Default 200. */
  readonly status?: number;
  /** Written byte by byte with such pauses, in milliseconds; default at once. */
  readonly pauseMs?: number;
  readonly headers?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
}

/** One request and the connection that its answer is written to, byte by byte if need be. */
export interface Exchange {
  readonly request: RawRequest;
  readonly socket: Socket;
  /** Writes text (latin1) or bytes; resolves when the system took them, or the connection is gone. */
  write(...parts: (string | Uint8Array)[]): Promise<void>;
  /** Writes the head of an answer. */
  head(head: RawHead): Promise<void>;
  /** Ends the connection in good order, once what was written is sent. */
  end(): Promise<void>;
  /** Breaks the connection. */
  reset(): void;
}

/** Answers a request; the next one of the same connection waits until it is done. */
export type Answer = (exchange: Exchange) => void | Promise<void>;

export interface LyingOriginOptions {
  /** The loopback address to listen on; default 127.0.0.1. */
  readonly host?: string;
  /** Default a free one. */
  readonly port?: number;
  readonly tls?: Credentials;
  /** Called with each new connection before its first request. */
  readonly onConnection?: (socket: Socket) => void;
  /** Answers what came in together (pipelined requests) last request first. */
  readonly lastFirst?: boolean;
}

/** A server that writes whatever it is told to, HTTP or not. */
export interface LyingOrigin {
  readonly port: number;
  /** Scheme, host and port. */
  readonly base: string;
  /** Host and port, as messages name them. */
  readonly host: string;
  /** Every request, oldest first. */
  readonly requests: readonly RawRequest[];
  /** Bytes that were written to all connections. */
  readonly sent: () => number;
  close(): Promise<void>;
}

const REASONS: Readonly<Record<number, string>> = { 200: "OK", 206: "Partial Content" };
/** Pieces that a large body is written in. */
const PIECE_BYTES = 1 << 18;
/** How long to wait for further requests that were sent together with one. */
const TOGETHER_MS = 5;

/** Starts an origin on a free port that gives every request to `answer`. */
export async function startLyingOrigin(answer: Answer, options: LyingOriginOptions = {}): Promise<LyingOrigin> {
  const { host = "127.0.0.1", tls, onConnection, lastFirst = false } = options;
  const requests: RawRequest[] = [];
  const counts = new Map<string, number>();
  const sockets = new Set<Socket>();
  let sent = 0;

  const exchangeOf = (request: RawRequest, socket: Socket): Exchange => {
    const write = async (...parts: (string | Uint8Array)[]) => {
      for (const part of parts) {
        const bytes = typeof part === "string" ? Buffer.from(part, "latin1") : part;
        for (let at = 0; at < bytes.length && socket.writable; at += PIECE_BYTES) {
          const piece = bytes.subarray(at, at + PIECE_BYTES);
          sent += piece.length;
          if (!socket.write(piece)) await drained(socket);
        }
      }
    };
    return {
      request,
      socket,
      write,
      async head({ pauseMs, ...head }) {
        const text = headText(head);
        if (pauseMs === undefined) return write(text);
        socket.setNoDelay(true);
        for (let at = 0; at < text.length && socket.writable; at += 1) {
          await write(text.charAt(at));
          await delay(pauseMs, undefined, { ref: false });
        }
      },
      end: () => new Promise((resolve) => (socket.writable ? socket.end(resolve) : resolve())),
      // A TLS socket has no reset of its own.
      reset: () => void (tls ? socket.destroy() : socket.resetAndDestroy()),
    };
  };

  const serve = (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    onConnection?.(socket);
    const waiting: RawRequest[] = [];
    let text = "";
    let answering = false;
    const answerAll = async () => {
      answering = true;
      while (waiting.length > 0 && socket.writable) {
        if (lastFirst) await delay(TOGETHER_MS);
        const next = lastFirst ? waiting.pop() : waiting.shift();
        if (next !== undefined) await answer(exchangeOf(next, socket));
      }
      answering = false;
    };
    socket.on("data", (data) => {
      text += data.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const request = parseRequest(text.slice(0, end), counts);
        text = text.slice(end + 4);
        requests.push(request);
        waiting.push(request);
      }
      if (!answering) void answerAll();
    });
  };

  const server = tls ? createTlsServer({ ...tls }, serve) : createServer(serve);
  server.on("tlsClientError", () => {});
  server.listen(options.port ?? 0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const shownHost = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return {
    port,
    base: `${tls ? "https" : "http"}://${shownHost}`,
    host: shownHost,
    requests,
    sent: () => sent,
    async close() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function parseRequest(head: string, counts: Map<string, number>): RawRequest {
  const [first = "", ...lines] = head.split("\r\n");
  const [method = "", target = ""] = first.split(" ");
  const headers = lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  });
  const nth = counts.get(method) ?? 0;
  counts.set(method, nth + 1);
  return { method, target, headers: Object.fromEntries(headers), nth };
}

function headText({ status = 200, line, headers = {} }: RawHead): string {
  const fields = Object.entries(headers).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).map((one) => `${name}: ${one}\r\n`);
  });
  return `${line ?? `HTTP/1.1 ${status} ${REASONS[status] ?? "Whatever"}`}\r\n${fields.join("")}\r\n`;
}

/** Resolves when more can be written, or nothing ever again. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    if (socket.destroyed) resolve();
    else socket.on("drain", done).on("close", done);
  });
}
