import { createRegistry, type DescFile } from "@bufbuild/protobuf";
import { type ConnectRouter, createConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import type { Logger } from "../domain/logger.ts";
import type { PortHandler } from "../lib/http/handler.ts";
import { createAdapter } from "./adapter.ts";
import { callKey } from "./call.ts";
import { createCallInterceptor, failCall } from "./call-interceptor.ts";
import { MAX_TIMEOUT_MS } from "./deadline.ts";
import { blameClient, checkQuery } from "./decoding.ts";
import { createHealthService } from "./health.ts";
import type { HealthMonitor } from "./health-monitor.ts";
import { addReflection } from "./reflection.ts";
import { createRunningStreams, shuttingDown } from "./running-streams.ts";
import type { TokenCheck } from "./token.ts";
import { createRequestValidator, createValidationInterceptor } from "./validation.ts";

export interface RpcHandlerOptions {
  /** Adds the services. Health and reflection are there already. */
  routes(router: ConnectRouter): void;
  readonly health: HealthMonitor;
  /** Asked for every call but those of health. */
  readonly checkToken: TokenCheck;
  /** Once aborted, new calls are refused and running streams end, both with SHUTTING_DOWN; other running calls may finish. */
  readonly shutdown: AbortSignal;
  /** Largest request message in bytes; default 4 MiB. */
  readonly maxMessageBytes?: number;
  /** Streams of the process that may be open at once, health's not counted; default 20,000. */
  readonly maxStreams?: number;
  readonly log: Logger;
}

/** Every RPC service behind one handler. */
export interface RpcHandler {
  /** Serves gRPC, gRPC-Web and Connect on either HTTP version. */
  readonly handle: PortHandler;
  /** Whether a method is at this path. */
  serves(path: string): boolean;
  /** Full names of all services. */
  readonly services: readonly string[];
}

/**
 * Makes the handler of all calls: token, limits, validation, errors, log, and beside the given services health and
 * reflection. Requests may be compressed; answers are not, since that costs more than it saves next to the service.
 */
export function createRpcHandler(options: RpcHandlerOptions): RpcHandler {
  const { checkToken, shutdown, log, maxMessageBytes = 4 * 1024 * 1024, maxStreams = 20_000 } = options;

  /** Runs before anything of the body is read. */
  const requestGate = ({ service, values, signal, requestHeader, requestMethod, url }: HandlerContext) => {
    const call = values.get(callKey);
    signal.addEventListener("abort", () => {
      blameClient(signal.reason);
      if (call !== undefined) call.abortReason = signal.reason;
    });
    try {
      // Probes come without a token, and ask until the end.
      if (service.typeName !== Health.typeName) {
        checkToken(requestHeader.get("authorization"));
        if (shutdown.aborted) throw shuttingDown();
      }
      if (requestMethod === "GET") checkQuery(url);
    } catch (error) {
      throw failCall(call, error);
    }
  };

  const router = createConnectRouter({
    acceptCompression: [compressionGzip, compressionBrotli],
    compressMinBytes: Number.MAX_SAFE_INTEGER,
    readMaxBytes: maxMessageBytes,
    maxTimeoutMs: MAX_TIMEOUT_MS,
    // A field that is not known is a typing mistake: passed over, it would be a wish that nobody hears.
    jsonOptions: { registry: createRegistry(file_google_rpc_error_details), ignoreUnknownFields: false },
    requestGate,
    interceptors: [
      createCallInterceptor(createRunningStreams(maxStreams, shutdown)),
      createValidationInterceptor(createRequestValidator()),
    ],
  });
  options.routes(router);
  router.service(Health, createHealthService(options.health));
  addReflection(router, ...servicesOf(router));

  const paths = new Set(router.handlers.map(({ requestPath }) => requestPath));
  return {
    handle: createAdapter(router, log),
    serves: (path) => paths.has(path),
    services: servicesOf(router)[0],
  };
}

function servicesOf(router: ConnectRouter): [names: string[], files: DescFile[]] {
  const services = [...new Set(router.handlers.map(({ service }) => service))];
  return [services.map(({ typeName }) => typeName).sort(), services.map(({ file }) => file)];
}
