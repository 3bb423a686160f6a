import type * as http from "node:http";
import type { Socket } from "node:net";
import type { PortHandler } from "../../lib/http/handler.ts";
import type { PortLimits } from "./limits.ts";

/** Options of node's HTTP/1.1 server (in clear or with TLS) for these limits. */
export function http1Options(limits: PortLimits): http.ServerOptions {
  return {
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: limits.pingMs,
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersMs,
    // A model's upload may take hours; a stalled one is cut by `stallMs`.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: Math.max(50, Math.min(5_000, limits.headersMs / 3)),
  };
}

/** The HTTP/1.1 side of the port. */
export interface Http1Side {
  /** Closes idle connections, and each other one after the answer that runs on it. */
  drain(): void;
}

/** Joins the handler to a server made with {@link http1Options}, and cuts connections that stall. */
export function attachHttp1(server: http.Server, handler: PortHandler, limits: PortLimits): Http1Side {
  let draining = false;
  // The newest answer of each connection; with pipelining that is the one which finishes last.
  const running = new Map<Socket, http.ServerResponse>();

  const onRequest: http.RequestListener = (request, response) => {
    const { socket } = request;
    running.set(socket, response);
    response.once("close", () => {
      if (running.get(socket) === response) running.delete(socket);
    });
    if (draining) closeAfter(response);
    handler(request, response);
  };
  server.on("request", onRequest);
  // The handler says whether the body shall come.
  server.on("checkContinue", onRequest);

  server.setTimeout(limits.stallMs, (socket) => {
    const response = running.get(socket);
    // Nobody stalls while the request is here, all we wrote is read, and our answer just has nothing new to say.
    if (response?.req.complete && !response.writableEnded && socket.writableLength === 0) return;
    socket.destroy();
  });

  return {
    drain() {
      draining = true;
      for (const response of running.values()) closeAfter(response);
      server.closeIdleConnections();
    },
  };
}

/** Ends the connection after this answer, and says so if its head is not written yet. */
function closeAfter(response: http.ServerResponse): void {
  if (!response.headersSent) response.setHeader("connection", "close");
  const { socket } = response.req;
  if (response.writableFinished) socket.destroySoon();
  else response.once("finish", () => socket.destroySoon());
}
