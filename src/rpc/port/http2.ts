import * as http2 from "node:http2";
import type { Socket } from "node:net";
import type { Logger } from "../../domain/logger.ts";
import type { PortHandler, StreamHandler } from "../../lib/http/handler.ts";
import { superviseSession } from "./http2-session.ts";
import type { PortLimits } from "./limits.ts";

/** The HTTP/2 side of the port. */
export interface Http2Side {
  /** Takes over a connection that speaks HTTP/2. */
  accept(socket: Socket): void;
  /** Sends GOAWAY on every session; each closes when its last stream is done. */
  drain(): void;
}

/** Makes the HTTP/2 side; it has no listening socket of its own. */
export function createHttp2(
  handler: PortHandler,
  onStream: StreamHandler | undefined,
  limits: PortLimits,
  log: Logger,
): Http2Side {
  const server = http2.createServer(http2Options(limits));
  const sessions = new Set<http2.ServerHttp2Session>();

  server.on("sessionError", (error) => log.debug("HTTP/2 session failed", { error }));

  if (onStream === undefined) {
    server.on("request", handler);
    server.on("checkContinue", handler);
  } else {
    // Node answers streams twice if a 'request' listener stands beside a 'stream' listener. A second server that never
    // listens holds it, and gets only the streams that nobody took.
    const fallThrough = http2.createServer(handler);
    fallThrough.on("checkContinue", handler);
    server.on("stream", (stream, headers, flags, rawHeaders) => {
      if (!onStream(stream, headers)) fallThrough.emit("stream", stream, headers, flags, rawHeaders);
    });
  }

  return {
    accept(socket) {
      // A session has no use for a connection that its client closed for writing.
      socket.allowHalfOpen = false;
      server.once("session", (session) => {
        session.setLocalWindowSize(limits.windowBytes);
        superviseSession(session, socket, limits);
        sessions.add(session);
        session.once("close", () => sessions.delete(session));
      });
      server.emit("connection", socket); // emits "session" before it returns
    },
    drain() {
      // GOAWAY names the last stream that came: a client knows that a later one was not begun and may be sent again. The
      // milder pair of GOAWAYs of RFC 9113, section 6.8, is not to be had: after any, node ignores new streams.
      for (const session of sessions) session.close();
    },
  };
}

function http2Options(limits: PortLimits): http2.ServerOptions {
  return {
    settings: {
      maxConcurrentStreams: limits.maxConcurrentStreams,
      initialWindowSize: limits.windowBytes,
      maxHeaderListSize: limits.maxHeaderBytes,
      enablePush: false,
    },
    // In megabytes. Node's 10 refuses streams of a busy session whose client reads slowly.
    maxSessionMemory: 64,
    // Rapid reset: a client may drop all its streams at once and again, but not go on like that.
    streamResetBurst: 2 * limits.maxConcurrentStreams,
    streamResetRate: 100,
    maxSessionInvalidFrames: 100,
  };
}
