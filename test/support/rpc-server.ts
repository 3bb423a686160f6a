import type { ServiceImpl, Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import type { Logger } from "../../src/domain/logger.ts";
import type { HealthProbe } from "../../src/domain/ports/health.ts";
import { createHealthMonitor, type HealthMonitor } from "../../src/rpc/health-monitor.ts";
import { createPlainRoutes } from "../../src/rpc/port/plain-routes.ts";
import { createPort } from "../../src/rpc/port/port.ts";
import { createRpcHandler, type RpcHandlerOptions } from "../../src/rpc/server.ts";
import { createTokenCheck, requireToken } from "../../src/rpc/token.ts";

/** A line that was logged. */
export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

/** A log that is kept, and waited for. */
export interface RecordedLog extends Logger {
  readonly lines: LogLine[];
  /** The first line that `matches`, once it is there. */
  line(matches: (line: LogLine) => boolean): Promise<LogLine>;
}

export function createRecordedLog(): RecordedLog {
  const lines: LogLine[] = [];
  const waiting = new Set<() => void>();
  const write =
    (level: LogLine["level"]) =>
    (message: string, fields: Record<string, unknown> = {}) => {
      lines.push({ level, message, fields });
      for (const look of [...waiting]) look();
    };
  const log: RecordedLog = {
    lines,
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: () => log,
    line: (matches) =>
      new Promise((resolve) => {
        const look = () => {
          const found = lines.find(matches);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
  return log;
}

/** A part of the service that is up or down as the test wants. */
export interface SwitchedProbe extends HealthProbe {
  up: boolean;
}

export function createSwitchedProbe(): SwitchedProbe {
  const probe: SwitchedProbe = {
    up: true,
    async check() {
      if (!probe.up) throw new Error("it is switched off");
    },
  };
  return probe;
}

/** A real port with the RPC handler behind it, and a ModelService of the test's own. */
export interface RpcServer {
  readonly url: string;
  /** Host and port, for grpc-js. */
  readonly address: string;
  readonly log: RecordedLog;
  readonly health: HealthMonitor;
  readonly database: SwitchedProbe;
  readonly store: SwitchedProbe;
  readonly shutdown: AbortController;
  close(): Promise<void>;
}

export async function startRpcServer(
  models: Partial<ServiceImpl<typeof ModelService>> = {},
  options: Partial<RpcHandlerOptions> & { token?: string } = {},
): Promise<RpcServer> {
  const log = createRecordedLog();
  const [database, store] = [createSwitchedProbe(), createSwitchedProbe()];
  const health = createHealthMonitor({ database, store, intervalMs: 10, log });
  await health.start();
  const shutdown = new AbortController();
  const checkToken = createTokenCheck(options.token);
  const rpc = createRpcHandler({
    routes: (router) => router.service(ModelService, models),
    health,
    checkToken,
    shutdown: shutdown.signal,
    log,
    ...options,
  });
  const plain = createPlainRoutes({
    about: { name: "test", version: "0", links: {}, services: rpc.services },
    health: health.summary,
    rpc: rpc.handle,
  });
  const handler = requireToken(checkToken, (path) => path === "/health" || rpc.serves(path), plain);
  const port = await createPort({ handler, host: "127.0.0.1", port: 0, log });
  const { url } = port.address;
  return {
    url,
    address: new URL(url).host,
    log,
    health,
    database,
    store,
    shutdown,
    async close() {
      health.shutDown();
      await port.close(0);
    },
  };
}

/** Every transport that Connect has, over both HTTP versions, by its name. */
export function createTransports(url: string): { transports: [name: string, Transport][]; close(): void } {
  const sessionManager = new Http2SessionManager(url);
  const one = { baseUrl: url, httpVersion: "1.1" } as const;
  const two = { baseUrl: url, httpVersion: "2", sessionManager } as const;
  return {
    transports: [
      ["gRPC", createGrpcTransport(two)],
      ["gRPC-Web over HTTP/1.1", createGrpcWebTransport(one)],
      ["gRPC-Web over HTTP/2", createGrpcWebTransport(two)],
      ["Connect over HTTP/1.1", createConnectTransport(one)],
      [
        "Connect over HTTP/1.1 with GET and JSON",
        createConnectTransport({ ...one, useHttpGet: true, useBinaryFormat: false }),
      ],
      ["Connect over HTTP/2", createConnectTransport(two)],
    ],
    close: () => sessionManager.abort(),
  };
}
