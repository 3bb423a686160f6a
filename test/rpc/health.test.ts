import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { credentials, makeGenericClientConstructor, type ServiceDefinition, type ServiceError } from "@grpc/grpc-js";
import { service as healthDefinition } from "grpc-health-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.ts";
import { errorDetails } from "../../src/client/error-details.ts";
import { createHealthMonitor } from "../../src/rpc/health-monitor.ts";
import { createTransports, type RpcServer, startRpcServer } from "../support/rpc-server.ts";

const MODELS = "modelmanager.v1.ModelService";
const WORKERS = "modelmanager.v1.WorkerService";
const ALL = ["", MODELS, WORKERS, "liveness"];
const nameOf = (status: Status) => Object.entries(Status).find(([, value]) => value === status)?.[0];
const [UP, DOWN] = ["SERVING", "NOT_SERVING"];

let server: RpcServer;
beforeEach(async () => {
  server = await startRpcServer();
});
afterEach(() => server.close());

/** Resolves once the statuses are these, in the order of {@link ALL}. */
function untilStatuses(...wanted: (string | undefined)[]): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (ALL.every((service, index) => server.health.status(service) === wanted[index])) resolve();
    };
    server.health.subscribe(look);
    look();
  });
}

describe("health", () => {
  it("follows the database and the store", async () => {
    await untilStatuses(UP, UP, UP, UP);
    server.store.up = false;
    await untilStatuses(UP, DOWN, UP, UP);
    server.database.up = false;
    await untilStatuses(DOWN, DOWN, DOWN, UP);
    server.store.up = true;
    server.database.up = true;
    await untilStatuses(UP, UP, UP, UP);
    const lines = server.log.lines.filter(({ fields }) => fields.dependency === "database");
    expect(lines.map(({ level }) => level)).toEqual(["warn", "info"]);
  });

  it("counts a part that does not answer in time as away", async () => {
    const signals: AbortSignal[] = [];
    const monitor = createHealthMonitor({
      database: { check: async () => {} },
      store: {
        check: (signal) => {
          signals.push(signal);
          return new Promise(() => {});
        },
      },
      timeoutMs: 20,
      log: server.log,
    });
    expect(monitor.status("")).toBe(DOWN);
    expect(monitor.status("liveness")).toBe(UP);
    await monitor.start();
    expect([monitor.status(MODELS), monitor.status(WORKERS)]).toEqual([DOWN, UP]);
    expect(signals[0]?.aborted).toBe(true);
    monitor.shutDown();
  });

  it("is told as JSON at /health, 503 while not serving", async () => {
    const well = await fetch(`${server.url}/health`);
    expect([well.status, await well.json()]).toEqual([
      200,
      { status: UP, services: { [MODELS]: UP, [WORKERS]: UP, liveness: UP } },
    ]);
    server.database.up = false;
    await untilStatuses(DOWN, DOWN, DOWN, UP);
    const away = await fetch(`${server.url}/health`);
    expect([away.status, await away.json()]).toMatchObject([503, { status: DOWN, services: { liveness: UP } }]);
  });
});

describe("grpc.health.v1", () => {
  it("Check and List on every transport", async () => {
    server.store.up = false;
    await untilStatuses(UP, DOWN, UP, UP);
    const { transports, close } = createTransports(server.url);
    for (const [name, transport] of transports) {
      const client = createClient(Health, transport);
      expect([name, (await client.check({ service: "" })).status]).toEqual([name, Status.SERVING]);
      expect([name, (await client.check({ service: MODELS })).status]).toEqual([name, Status.NOT_SERVING]);
      const { statuses } = await client.list({});
      expect(Object.entries(statuses).map(([service, { status }]) => [service, nameOf(status)])).toEqual(
        expect.arrayContaining([
          ["", UP],
          [MODELS, DOWN],
          [WORKERS, UP],
          ["liveness", UP],
        ]),
      );
      const unknown = await client.check({ service: "nobody" }).catch(errorDetails);
      expect(unknown).toMatchObject({ code: "NOT_FOUND", reason: "HEALTH_SERVICE_NOT_FOUND" });
    }
    close();
  });

  it("Watch sends what is, then each change", async () => {
    const sessionManager = new Http2SessionManager(server.url);
    const client = createClient(Health, createGrpcTransport({ baseUrl: server.url, sessionManager }));
    const controller = new AbortController();
    const stream = client.watch({ service: MODELS }, { signal: controller.signal })[Symbol.asyncIterator]();
    const next = async () => nameOf((await stream.next()).value.status);
    expect(await next()).toBe(UP);
    server.store.up = false;
    expect(await next()).toBe(DOWN);
    server.store.up = true;
    expect(await next()).toBe(UP);
    controller.abort();
    await expect(stream.next()).rejects.toMatchObject({ code: Code.Canceled });
    const line = await server.log.line(({ fields }) => fields.method === "grpc.health.v1.Health/Watch");
    expect(line.fields).toMatchObject({ code: "CANCELLED", sent: 3 });
    sessionManager.abort();
  });

  it("Watch of an unknown service says so and stays open", async () => {
    const sessionManager = new Http2SessionManager(server.url);
    const client = createClient(Health, createGrpcTransport({ baseUrl: server.url, sessionManager }));
    const stream = client.watch({ service: "nobody" })[Symbol.asyncIterator]();
    expect((await stream.next()).value).toMatchObject({ status: Status.SERVICE_UNKNOWN });
    let ended = false;
    const next = stream.next().catch((error: unknown) => {
      ended = true;
      return error;
    });
    server.database.up = false;
    await untilStatuses(DOWN, DOWN, DOWN, UP);
    expect((await client.check({ service: WORKERS })).status).toBe(Status.NOT_SERVING);
    expect(ended).toBe(false);
    sessionManager.abort();
    await next;
  });

  it("a shutdown tells watchers NOT_SERVING, then ends them UNAVAILABLE; Check goes on", async () => {
    const sessionManager = new Http2SessionManager(server.url);
    const client = createClient(Health, createGrpcTransport({ baseUrl: server.url, sessionManager }));
    const streams = ALL.map((service) => client.watch({ service })[Symbol.asyncIterator]());
    for (const stream of streams) expect((await stream.next()).value.status).toBe(Status.SERVING);
    server.health.shutDown();
    server.shutdown.abort();
    for (const stream of streams) {
      expect((await stream.next()).value.status).toBe(Status.NOT_SERVING);
      const end = await stream.next().catch(errorDetails);
      expect(end).toMatchObject({ code: "UNAVAILABLE", reason: "SHUTTING_DOWN" });
    }
    expect((await client.check({ service: "liveness" })).status).toBe(Status.NOT_SERVING);
    sessionManager.abort();
  });
});

describe("the client of grpc-health-check", () => {
  it("checks and watches", async () => {
    const HealthClient = makeGenericClientConstructor(healthDefinition as ServiceDefinition, "Health");
    const client = new HealthClient(server.address, credentials.createInsecure());
    const check = (service: string) =>
      new Promise((resolve) =>
        client.check?.({ service }, (error: ServiceError | null, answer: unknown) => resolve(error ?? answer)),
      );
    expect(await check("")).toEqual({ status: "SERVING" });
    expect(await check("nobody")).toMatchObject({ code: 5 });
    const watch = client.watch?.({ service: MODELS });
    const seen: unknown[] = [];
    await new Promise<void>((resolve) => {
      watch.on("error", () => {});
      watch.on("data", (answer: unknown) => {
        seen.push(answer);
        if (seen.length === 1) server.store.up = false;
        else resolve();
      });
    });
    expect(seen).toEqual([{ status: "SERVING" }, { status: "NOT_SERVING" }]);
    watch.cancel();
    client.close();
  });
});
