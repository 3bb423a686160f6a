import { credentials, Metadata } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { createGrpcJsClient, type GrpcJsClient } from "../../src/client/grpc-js.ts";
import { DomainError } from "../../src/domain/errors.ts";
import { type RpcServer, startRpcServer } from "../support/rpc-server.ts";

const JOB = "01890a5d-ac96-774b-bcce-b302099a8057";
let server: RpcServer;
let grpc: GrpcJsClient<typeof ModelService.method>;

beforeAll(async () => {
  server = await startRpcServer({
    getModel({ modelRef }) {
      if (modelRef === "missing") throw new DomainError("MODEL_NOT_FOUND", "there is no model 'missing'");
      if (modelRef === "away")
        throw new DomainError("DATABASE_UNAVAILABLE", "try again", { cause: new Error("ECONNREFUSED") });
      return {};
    },
    async *watchDownload() {
      yield {};
      yield {};
      yield {};
    },
  });
  grpc = createGrpcJsClient(ModelService, server.address, credentials.createInsecure());
});
afterEach(() => {
  server.log.lines.length = 0;
});
afterAll(async () => {
  grpc.close();
  await server.close();
});

/** The header `x-request-id` of the answer to a call that sent one. */
function call(modelRef: string, requestId?: string): Promise<string> {
  const metadata = new Metadata();
  if (requestId !== undefined) metadata.set("x-request-id", requestId);
  return new Promise((resolve) => {
    const running = grpc.getModel({ modelRef }, metadata, () => {});
    running.on("metadata", (header) => resolve(String(header.get("x-request-id")[0])));
  });
}

describe("each call writes one line", () => {
  it("with what an operator looks for", async () => {
    const id = await call("llama3");
    const line = await server.log.line(({ fields }) => fields.request_id === id);
    expect(line).toEqual({
      level: "info",
      message: "call",
      fields: {
        request_id: id,
        method: "modelmanager.v1.ModelService/GetModel",
        code: "OK",
        duration_ms: expect.any(Number),
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        protocol: "grpc",
        http: "2.0",
      },
    });
    expect(server.log.lines).toHaveLength(1);
  });

  it("with the reason and what the caller was told if it failed", async () => {
    const id = await call("missing");
    const line = await server.log.line(({ fields }) => fields.request_id === id);
    expect(line).toMatchObject({
      level: "info",
      fields: { code: "NOT_FOUND", reason: "MODEL_NOT_FOUND", told: "there is no model 'missing'" },
    });
  });

  it("with the cause, as a warning, if something of ours was away", async () => {
    const id = await call("away");
    const line = await server.log.line(({ fields }) => fields.request_id === id);
    expect(line).toMatchObject({ level: "warn", fields: { code: "UNAVAILABLE", cause: { message: "ECONNREFUSED" } } });
  });

  it("with the number of messages of a stream", async () => {
    for await (const _message of grpc.watchDownload({ downloadId: JOB }));
    const line = await server.log.line(({ fields }) => fields.sent !== undefined);
    expect(line.fields).toMatchObject({ method: "modelmanager.v1.ModelService/WatchDownload", code: "OK", sent: 3 });
  });

  it("of no interest if it is a probe's", async () => {
    const health = createGrpcJsClient(Health, server.address, credentials.createInsecure());
    await new Promise((resolve) => health.check({}, resolve));
    health.close();
    expect(await server.log.line(({ message }) => message === "call")).toMatchObject({ level: "debug" });
  });

  it("without what could not be decoded, which may be a secret in the wrong place", async () => {
    const body = JSON.stringify({ modelId: "m", credential: "s3cr3t" });
    await fetch(`${server.url}/modelmanager.v1.ModelService/StartDownload`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    const { fields } = await server.log.line(({ fields: { code } }) => code === "INVALID_ARGUMENT");
    expect(fields.told).toMatch(/^cannot decode .* from JSON$/);
  });

  it("also if it never reached a handler", async () => {
    const post = (path: string, headers: Record<string, string>, body: string) =>
      fetch(`${server.url}/${path}`, { method: "POST", headers, body });
    await post("modelmanager.v1.ModelService/GetModel", { "content-type": "application/json" }, "{");
    await server.log.line(({ fields }) => fields.code === "INVALID_ARGUMENT");
    await post("modelmanager.v1.ModelService/GetModel", { "content-type": "text/plain" }, "x");
    await post("modelmanager.v1.ModelService/Nothing", { "content-type": "application/json" }, "{}");
    await post("modelmanager.v1.ModelService/Nothing", { "content-type": "application/grpc-web+proto" }, "");
    await server.log.line(({ fields }) => fields.protocol === "grpc-web" && fields.code === "UNIMPLEMENTED");
    expect(server.log.lines.map(({ fields }) => fields.code)).toEqual([
      "INVALID_ARGUMENT",
      "INVALID_ARGUMENT",
      "UNIMPLEMENTED",
      "UNIMPLEMENTED",
    ]);
  });
});

describe("the id of a request", () => {
  it("is the client's if it is a sane one", async () => {
    expect(await call("llama3", "trace-1/2:3")).toBe("trace-1/2:3");
  });

  it.each(["", "a b", "x".repeat(129), '"quoted"'])("is made here for %j", async (given) => {
    expect(await call("llama3", given)).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
  });

  it("is told on every protocol and for unknown methods", async () => {
    for (const method of ["GetModel", "Nothing"]) {
      const response = await fetch(`${server.url}/modelmanager.v1.ModelService/${method}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-request-id": "mine" },
        body: JSON.stringify({ modelRef: "llama3" }),
      });
      await response.text();
      expect(response.headers.get("x-request-id")).toBe("mine");
    }
  });
});
