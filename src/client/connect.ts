import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";

/** A protocol that the service's port speaks. */
export type Protocol = "grpc" | "grpc-web" | "connect";

export interface ModelManagerClientOptions {
  /** Default `grpc`. */
  readonly protocol?: Protocol;
  /** Default `2`; `grpc` needs it. In clear, HTTP/2 is spoken at once, without an upgrade. */
  readonly httpVersion?: "1.1" | "2";
  /** The bearer token of the service. */
  readonly token?: string;
  /** Sees every call, such as for tracing. */
  readonly interceptors?: readonly Interceptor[];
  /** PEM: certificates to trust instead of the well-known ones, and for mutual TLS the client's own certificate and key. */
  readonly tls?: {
    readonly ca?: string | Buffer;
    readonly cert?: string | Buffer;
    readonly key?: string | Buffer;
  };
}

/** Typed clients of the service's parts. */
export interface ModelManagerClient {
  readonly models: Client<typeof ModelService>;
  readonly workers: Client<typeof WorkerService>;
  readonly health: Client<typeof Health>;
  /** Ends the connection and what runs on it. A transport that was handed in is left alone. */
  close(): void;
}

/** So that a stream notices a connection that died without a word. */
const PING_INTERVAL_MS = 20_000;

/**
 * Makes clients of the service at a URL, such as `http://127.0.0.1:8085`.
 *
 * Nothing is connected before the first call. Calls raise a `ConnectError`; see `errorDetails`.
 *
 * @throws TypeError if the URL is none, or the protocol does not go with the HTTP version.
 */
export function createModelManagerClient(url: string | URL, options?: ModelManagerClientOptions): ModelManagerClient;
/** Makes clients over a transport of any kind; a token is for its interceptors to send. */
export function createModelManagerClient(transport: Transport): ModelManagerClient;
export function createModelManagerClient(
  target: string | URL | Transport,
  options: ModelManagerClientOptions = {},
): ModelManagerClient {
  const { transport, close } =
    typeof target === "string" || target instanceof URL
      ? connectTo(new URL(target), options)
      : { transport: target, close: () => {} };
  return {
    models: createClient(ModelService, transport),
    workers: createClient(WorkerService, transport),
    health: createClient(Health, transport),
    close,
  };
}

function connectTo(url: URL, options: ModelManagerClientOptions): { transport: Transport; close: () => void } {
  const { protocol = "grpc", httpVersion = "2", tls } = options;
  const baseUrl = url.href.replace(/\/+$/, "");
  const interceptors = [
    ...(options.token === undefined ? [] : [bearer(options.token)]),
    ...(options.interceptors ?? []),
  ];
  const common = { baseUrl, interceptors };
  if (httpVersion === "1.1") {
    if (protocol === "grpc") throw new TypeError("grpc needs HTTP/2: choose grpc-web or connect for HTTP/1.1");
    const create = protocol === "connect" ? createConnectTransport : createGrpcWebTransport;
    return { transport: create({ ...common, httpVersion, nodeOptions: { ...tls } }), close: () => {} };
  }
  const sessionManager = new SessionManager(baseUrl, { pingIntervalMs: PING_INTERVAL_MS }, { ...tls });
  const create = { grpc: createGrpcTransport, "grpc-web": createGrpcWebTransport, connect: createConnectTransport };
  return {
    transport: create[protocol]({ ...common, httpVersion, sessionManager }),
    close: () => sessionManager.abort(),
  };
}

/**
 * The error of a broken session comes some time after those of its calls. Once the manager has closed by then, nobody else
 * listens for it, and Node would end the process.
 */
class SessionManager extends Http2SessionManager {
  override async request(...args: Parameters<Http2SessionManager["request"]>) {
    const stream = await super.request(...args);
    if (!stream.session?.listeners("error").includes(ignore)) stream.session?.on("error", ignore);
    return stream;
  }
}

function ignore(): void {}

function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}
