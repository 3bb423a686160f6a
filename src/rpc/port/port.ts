import { X509Certificate } from "node:crypto";
import * as http from "node:http";
import * as https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Logger } from "../../domain/logger.ts";
import type { PortHandler, StreamHandler } from "../../lib/http/handler.ts";
import { attachHttp1, http1Options } from "./http1.ts";
import { createHttp2 } from "./http2.ts";
import { DEFAULT_PORT_LIMITS, type PortLimits } from "./limits.ts";
import { listenError, tlsError } from "./listen-error.ts";
import { detectProtocol } from "./preface.ts";

/** PEM texts. With `clientCa`, only clients with a certificate of that authority are let in (mutual TLS). */
export interface PortTls {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  readonly clientCa?: string | Buffer;
}

export interface PortOptions {
  readonly handler: PortHandler;
  /** Sees every HTTP/2 stream before the handler. */
  readonly onStream?: StreamHandler;
  /** A name or address of this machine. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Without it the port speaks in clear. */
  readonly tls?: PortTls;
  /** What differs from {@link DEFAULT_PORT_LIMITS}. */
  readonly limits?: Partial<PortLimits>;
  readonly log: Logger;
}

/** Where a port listens. */
export interface PortAddress {
  readonly host: string;
  readonly port: number;
  /** Scheme, host and port, such as `http://127.0.0.1:8085`. */
  readonly url: string;
}

/** A network port that is open. */
export interface Port {
  readonly address: PortAddress;
  /**
   * Accepts nothing new, lets running calls end, and after `graceMs` milliseconds destroys what is left; resolves when
   * every connection is closed. May be called again with less time; 0 destroys at once.
   */
  close(graceMs: number): Promise<void>;
}

/**
 * Opens one port for HTTP/1.1 and HTTP/2: in clear the first bytes tell them apart, with TLS the protocol negotiated by
 * ALPN. Throws a `ListenError` for the operator if the port or the TLS files cannot be used.
 */
export async function createPort(options: PortOptions): Promise<Port> {
  const { handler, onStream, log, tls } = options;
  const limits: PortLimits = { ...DEFAULT_PORT_LIMITS, ...options.limits };
  const server = tls === undefined ? http.createServer(http1Options(limits)) : createTlsServer(tls, limits);
  const http1 = attachHttp1(server, handler, limits);
  const http2 = createHttp2(handler, onStream, limits, log);
  const sockets = new Set<Socket>();
  const undecided = new Set<Socket>();
  let closed: Promise<void> | undefined;

  // Node's HTTP/1.1 server does the listening, for its time-outs only run while it listens; its way of taking a
  // connection is put aside, and used for those that speak HTTP/1.1.
  const ready = tls === undefined ? "connection" : "secureConnection";
  const acceptHttp1 = server.listeners(ready);
  server.removeAllListeners(ready);
  server.on("connection", (socket: Socket) => track(sockets, socket));
  server.on(ready, (socket: Socket | TLSSocket) => {
    // A reset connection is everyday, and may come before either side listens for it.
    socket.on("error", () => socket.destroy());
    if (closed !== undefined) {
      socket.destroy();
      return;
    }
    const hand = (protocol: string | false | null) => {
      undecided.delete(socket);
      if (protocol === "h2") http2.accept(socket);
      else for (const accept of acceptHttp1) accept.call(server, socket);
    };
    if ("alpnProtocol" in socket) {
      track(sockets, socket);
      hand(socket.alpnProtocol);
    } else {
      track(undecided, socket);
      detectProtocol(socket, limits.handshakeMs, hand);
    }
  });
  server.on("tlsClientError", (error: Error) => log.debug("TLS handshake failed", { error }));

  const address = await listen(server, options.host, options.port, tls === undefined ? "http" : "https");
  server.on("error", (error) => log.error("the port failed to accept a connection", { error }));

  const destroyAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    address,
    close(graceMs) {
      if (closed === undefined) {
        closed = new Promise((resolve) => server.close(() => resolve()));
        for (const socket of undecided) socket.destroy();
        http1.drain();
        http2.drain();
      }
      if (graceMs <= 0) {
        destroyAll();
        return closed;
      }
      const timer = setTimeout(destroyAll, graceMs);
      return closed.finally(() => clearTimeout(timer));
    },
  };
}

function track(set: Set<Socket>, socket: Socket): void {
  set.add(socket);
  socket.once("close", () => set.delete(socket));
}

function createTlsServer(tls: PortTls, limits: PortLimits): https.Server {
  try {
    // An unreadable authority would be passed over in silence, and the public ones be trusted instead.
    if (tls.clientCa !== undefined) new X509Certificate(tls.clientCa);
    return https.createServer({
      ...http1Options(limits),
      cert: tls.cert,
      key: tls.key,
      ca: tls.clientCa,
      requestCert: tls.clientCa !== undefined,
      rejectUnauthorized: true,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: limits.handshakeMs,
    });
  } catch (error) {
    throw tlsError(error);
  }
}

function listen(server: http.Server, host: string, port: number, scheme: string): Promise<PortAddress> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => reject(listenError(error, host, port));
    server.once("error", onError);
    server.listen({ host, port }, () => {
      server.off("error", onError);
      const bound = server.address() as AddressInfo;
      const name = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
      resolve({ host: bound.address, port: bound.port, url: `${scheme}://${name}:${bound.port}` });
    });
  });
}
