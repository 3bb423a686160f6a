import type { Logger } from "../../domain/logger.ts";
import type { PortHandler, PortRequest, PortResponse } from "./handler.ts";

/** What `GET /` says. */
export interface About {
  readonly name: string;
  readonly version: string;
  /** Name of a page to its path or address. */
  readonly links: Readonly<Record<string, string>>;
  /** Full names of the RPC services. */
  readonly services: readonly string[];
}

/** What `GET /health` says: 200 while SERVING, else 503. */
export interface HealthSummary {
  readonly status: "SERVING" | "NOT_SERVING";
  /** Status of each service that health is known of. */
  readonly services: Readonly<Record<string, string>>;
}

export interface PlainRoutesOptions {
  readonly about: About;
  health(): HealthSummary | Promise<HealthSummary>;
  /** Gets what is RPC. */
  readonly rpc: PortHandler;
  readonly log: Logger;
}

interface Answer {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `/<package.Service>/<Method>`. */
const RPC_PATH = /^\/[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\/[A-Za-z_]\w*$/;
/** Content types that only RPC protocols use; Connect's `application/json` is told by its path. */
const RPC_CONTENT_TYPE = /^application\/(?:grpc|connect\+|proto(?:$|[\s;]))/i;

/**
 * Answers the few plain HTTP pages beside RPC, in JSON, on both HTTP versions: `GET /` and `GET /health` (and HEAD);
 * other methods get 405, other paths 404. A call by its content type or path goes to `rpc`.
 */
export function createPlainRoutes(options: PlainRoutesOptions): PortHandler {
  const { about, rpc, log } = options;
  // Health that cannot be told is no health: probes get 503, as they would for a database that is away.
  const health = async (): Promise<HealthSummary> => {
    try {
      return await options.health();
    } catch (error) {
      log.error("health could not be told", { error });
      return { status: "NOT_SERVING", services: {} };
    }
  };
  const routes = new Map<string, () => Promise<Answer>>([
    ["/", async () => ({ status: 200, body: about })],
    [
      "/health",
      async () => {
        const summary = await health();
        return { status: summary.status === "SERVING" ? 200 : 503, body: summary };
      },
    ],
  ]);

  const answer = async (method: string, path: string): Promise<Answer> => {
    const route = routes.get(path);
    if (route === undefined) {
      const hint = "GET / lists what this service offers; RPC methods are at /<package.Service>/<Method>";
      return { status: 404, body: { code: "not_found", message: `no page at ${path.slice(0, 200)}`, hint } };
    }
    if (method !== "GET" && method !== "HEAD") {
      const body = { code: "unimplemented", message: `${path} can only be read`, hint: `use GET ${path}` };
      return { status: 405, body, headers: { allow: "GET, HEAD" } };
    }
    return route();
  };

  return (request, response) => {
    const path = pathOf(request);
    if (RPC_PATH.test(path) || RPC_CONTENT_TYPE.test(request.headers["content-type"] ?? "")) {
      rpc(request, response);
      return;
    }
    // A body that nobody reads would hold the stream open.
    request.resume();
    const method = request.method ?? "GET";
    answer(method, path).then(
      (result) => send(response, method, result),
      (error: unknown) => {
        log.error("a plain page failed", { error, path });
        send(response, method, { status: 500, body: { code: "internal", message: "this page failed" } });
      },
    );
  };
}

/** The path without query; a proxy's absolute form (`GET http://host/path`) counts by its path. */
function pathOf(request: PortRequest): string {
  const target = (request.url ?? "/").replace(/^https?:\/\/[^/?#]*/i, "");
  return /^[^?#]*/.exec(target)?.[0] || "/";
}

/** What both HTTP versions' responses have in common here. */
interface JsonResponse {
  statusCode: number;
  setHeader(name: string, value: string | number): unknown;
  end(): unknown;
  end(data: string): unknown;
}

function send(response: PortResponse, method: string, answer: Answer): void {
  const gone = "stream" in response ? response.stream.destroyed : response.destroyed;
  if (gone) return;
  const out: JsonResponse = response;
  const text = `${JSON.stringify(answer.body)}\n`;
  out.statusCode = answer.status;
  out.setHeader("content-type", "application/json; charset=utf-8");
  out.setHeader("content-length", Buffer.byteLength(text));
  out.setHeader("cache-control", "no-store");
  out.setHeader("x-content-type-options", "nosniff");
  for (const [name, value] of Object.entries(answer.headers ?? {})) out.setHeader(name, value);
  if (method === "HEAD") out.end();
  else out.end(text);
}
