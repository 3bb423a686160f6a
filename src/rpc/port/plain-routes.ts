import { answerJson, type JsonAnswer, pathOf } from "../../lib/http/answer.ts";
import type { PortHandler } from "../../lib/http/handler.ts";

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
  health(): HealthSummary;
  /** Gets what is RPC. */
  readonly rpc: PortHandler;
  /** Gets what begins with these paths, and tells clients that wait for it to go on. */
  readonly areas?: Readonly<Record<string, PortHandler>>;
}

/** `/<package.Service>/<Method>`. */
const RPC_PATH = /^\/[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\/[A-Za-z_]\w*$/;
/** Content types that only RPC protocols use; Connect's `application/json` is told by its path. */
const RPC_CONTENT_TYPE = /^application\/(?:grpc|connect\+|proto(?:$|[\s;]))/i;

/**
 * Answers the few plain HTTP pages beside RPC, in JSON, on both HTTP versions: `GET /` and `GET /health` (and HEAD);
 * other methods get 405, other paths 404. A call by its content type or path goes to `rpc`.
 */
export function createPlainRoutes({ about, health, rpc, areas = {} }: PlainRoutesOptions): PortHandler {
  const pages = new Map<string, () => JsonAnswer>([
    ["/", () => ({ status: 200, body: about })],
    [
      "/health",
      () => {
        const summary = health();
        return { status: summary.status === "SERVING" ? 200 : 503, body: summary };
      },
    ],
  ]);

  const answer = (method: string, path: string): JsonAnswer => {
    const page = pages.get(path);
    if (page === undefined) {
      const hint = "GET / lists what this service offers; RPC methods are at /<package.Service>/<Method>";
      return { status: 404, body: { code: "not_found", message: `no page at ${path.slice(0, 200)}`, hint } };
    }
    if (method !== "GET" && method !== "HEAD") {
      const body = { code: "unimplemented", message: `${path} can only be read`, hint: `use GET ${path}` };
      return { status: 405, body, headers: { allow: "GET, HEAD" } };
    }
    return page();
  };

  return (request, response) => {
    const path = pathOf(request);
    const area = Object.entries(areas).find(([prefix]) => path.startsWith(prefix));
    if (area !== undefined) {
      area[1](request, response);
      return;
    }
    if (request.headers.expect !== undefined) response.writeContinue();
    if (RPC_PATH.test(path) || RPC_CONTENT_TYPE.test(request.headers["content-type"] ?? "")) rpc(request, response);
    else answerJson(request, response, answer(request.method ?? "GET", path));
  };
}
