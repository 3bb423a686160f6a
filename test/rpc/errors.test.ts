import { randomUUID } from "node:crypto";
import { once } from "node:events";
import * as http2 from "node:http2";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { compressionGzip, createGrpcTransport } from "@connectrpc/connect-node";
import { credentials, status as GrpcStatus, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ErrorReason } from "../../gen/modelmanager/v1/error_reason_pb.ts";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { errorDetails } from "../../src/client/error-details.ts";
import { createGrpcJsClient, type GrpcJsClient } from "../../src/client/grpc-js.ts";
import { DomainError, invalidField, REASONS } from "../../src/domain/errors.ts";
import { CODE_OF_REASON, codeName } from "../../src/rpc/error-table.ts";
import { encodeGrpcMessage } from "../../src/rpc/grpc-message.ts";
import { createTransports, type RpcServer, startRpcServer } from "../support/rpc-server.ts";

const JOB = "01890a5d-ac96-774b-bcce-b302099a8057";

/** What the next call raises. */
let raise: unknown;
let server: RpcServer;
let grpc: GrpcJsClient<typeof ModelService.method>;
let connect: ReturnType<typeof createTransports>;

beforeAll(async () => {
  server = await startRpcServer({
    getModel() {
      throw raise;
    },
    async *watchDownload({ downloadId }) {
      yield { progress: { downloadId } };
      yield { progress: { downloadId } };
      throw raise;
    },
    listModels: (_request, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    listVersions: () => ({ versions: [{ version: -1 }] }),
    // Takes no notice of its signal.
    deleteModel: () => new Promise(() => {}),
    async importModel(requests) {
      for await (const _request of requests);
      throw raise;
    },
  });
  grpc = createGrpcJsClient(ModelService, server.address, credentials.createInsecure());
  connect = createTransports(server.url);
});

afterAll(async () => {
  grpc.close();
  connect.close();
  await server.close();
});

function getModel(modelRef = "llama3"): Promise<ServiceError | null> {
  return new Promise((resolve) => grpc.getModel({ modelRef }, (error) => resolve(error)));
}

function statusBytes(error: ServiceError | null): Buffer {
  const [bytes] = error?.metadata.get("grpc-status-details-bin") ?? [];
  return Buffer.from(bytes ?? "");
}

/** The error of a call; fails if there is none. */
async function failure(call: Promise<unknown>): Promise<ConnectError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw new Error("the call did not fail", { cause: error });
  return error;
}

describe("the error table", () => {
  it("knows every reason of the contract and no other", () => {
    const ofContract = Object.keys(ErrorReason).filter((name) => /^[A-Z]/.test(name) && name !== "UNSPECIFIED");
    expect(Object.keys(CODE_OF_REASON).sort()).toEqual([...REASONS].sort());
    expect(ofContract.sort()).toEqual([...REASONS].sort());
  });

  it.each(REASONS)("sends %s with its code and ErrorInfo", async (reason) => {
    raise = new DomainError(reason, "what happened", { metadata: { upstream_status: "503" } });
    const details = errorDetails(await getModel());
    expect(details).toMatchObject({
      code: codeName(CODE_OF_REASON[reason]),
      message: "what happened",
      reason,
      metadata: { upstream_status: "503" },
    });
    const invalid = CODE_OF_REASON[reason] === Code.InvalidArgument;
    expect(details?.violations).toHaveLength(invalid ? 1 : 0);
  });
});

describe("errors of a call", () => {
  const messages = [
    "name: must be",
    "100% of 'disk' used; \"quoted\" & <tagged>",
    "two\nlines\tand a tab",
    "für 模型 😀",
    "50%41 stays as it is",
    "~tilde and back\\slash",
  ];

  it.each(messages)("come through grpc-js exactly: %j", async (message) => {
    raise = new DomainError("STATE_INVALID", message);
    expect(await getModel()).toMatchObject({ code: GrpcStatus.FAILED_PRECONDITION, details: message });
  });

  it("come through every Connect transport exactly", async () => {
    for (const [name, transport] of connect.transports) {
      for (const message of messages) {
        raise = new DomainError("STATE_INVALID", message);
        const error = await failure(createClient(ModelService, transport).getModel({ modelRef: "llama3" }));
        expect([name, error.rawMessage, error.code]).toEqual([name, message, Code.FailedPrecondition]);
        expect(errorDetails(error)?.reason).toBe("STATE_INVALID");
      }
    }
  });

  it("are readable on the wire: only what gRPC's rule names is encoded", async () => {
    raise = new DomainError("STATE_INVALID", "a: b, 5% ü\n");
    const path = "/modelmanager.v1.ModelService/GetModel";
    const body = Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0x61]);

    const web = await fetch(server.url + path, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto" },
      body,
    });
    expect(await web.text()).toContain("grpc-message: a: b, 5%25 %C3%BC%0A\r\n");

    const session = http2.connect(server.url);
    onTestFinished(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
    stream.end(body);
    const [trailers] = await once(stream, "trailers");
    expect(trailers["grpc-message"]).toBe("a: b, 5%25 %C3%BC%0A");
  });

  it("name the fields that break a rule", async () => {
    raise = invalidField("source.http.files[0].url", "must be an http or https URL");
    expect(errorDetails(await getModel())).toMatchObject({
      message: "source.http.files[0].url: must be an http or https URL",
      violations: [{ field: "source.http.files[0].url", description: "must be an http or https URL" }],
    });
    raise = new DomainError("PAGE_TOKEN_INVALID", "page_token: is not one of ours");
    expect(errorDetails(await getModel())?.violations).toMatchObject([{ field: "page_token" }]);
  });

  it("are INTERNAL without their cause for what was not foreseen, and logged with it", async () => {
    raise = new Error("select secret from /var/lib");
    const error = await getModel();
    expect(error).toMatchObject({ code: GrpcStatus.INTERNAL, details: "internal error" });
    expect(JSON.stringify(error?.metadata.toJSON())).not.toContain("secret");
    expect(errorDetails(error)?.reason).toBe("INTERNAL");
    const line = await server.log.line(({ fields }) => fields.error === raise);
    expect(line).toMatchObject({ level: "error", fields: { code: "INTERNAL" } });

    for (const odd of [undefined, null, "text", { code: 5 }]) {
      raise = odd;
      expect(await getModel()).toMatchObject({ code: GrpcStatus.INTERNAL, details: "internal error" });
    }
  });

  it("stay within what clients take of trailers", async () => {
    const violations = Array.from({ length: 500 }, (_, index) => ({
      field: `model.labels["${index}${"k".repeat(300)}"]`,
      description: "ü".repeat(3000),
    }));
    raise = new DomainError("FIELD_INVALID", `${"ü".repeat(50_000)}\ud800`, {
      violations,
      metadata: { id: "x".repeat(100_000), other: "small" },
    });
    const error = await getModel();
    const trailers = encodeGrpcMessage(error?.details ?? "").length + statusBytes(error).toString("base64").length;
    expect(trailers).toBeLessThan(8000);
    const details = errorDetails(error);
    expect(details).toMatchObject({ code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", metadata: { other: "small" } });
    expect(details?.message).toMatch(/^ü{100,}\.\.\.$/);
    expect(details?.violations.length).toBeGreaterThan(3);
  });

  it("come in the middle of a stream after the messages before them", async () => {
    for (const [name, transport] of connect.transports) {
      raise = new DomainError("CONTENT_MISMATCH", "model.safetensors: the bytes do not match");
      const received: string[] = [];
      const error = await failure(
        (async () => {
          for await (const { progress } of createClient(ModelService, transport).watchDownload({ downloadId: JOB })) {
            received.push(progress?.downloadId ?? "");
          }
        })(),
      );
      expect([name, received.length, error.code]).toEqual([name, 2, Code.DataLoss]);
      expect(errorDetails(error)?.reason).toBe("CONTENT_MISMATCH");
    }
  });

  it("come at the end of a client's stream", async () => {
    raise = new DomainError("DISK_FULL", "the store is full");
    const error = await new Promise<ServiceError | null>((resolve) => {
      const call = grpc.importModel((reason) => resolve(reason));
      call.write({ part: { case: "chunk", value: Buffer.from("abc") } });
      call.end();
    });
    expect(errorDetails(error)).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "DISK_FULL" });
  });
});

describe("calls that end early", () => {
  const lineOf = (id: string) => server.log.line(({ fields }) => fields.request_id === id);
  const withId = (id: string) => {
    const metadata = new Metadata();
    metadata.set("x-request-id", id);
    return metadata;
  };

  it("a deadline is DEADLINE_EXCEEDED", async () => {
    const id = randomUUID();
    const error = await new Promise<ServiceError | null>((resolve) =>
      grpc.listModels({}, withId(id), { deadline: Date.now() + 100 }, (reason) => resolve(reason)),
    );
    expect(error?.code).toBe(GrpcStatus.DEADLINE_EXCEEDED);
    const line = await lineOf(id);
    // Who of the two is first to see it is a matter of luck.
    expect(["DEADLINE_EXCEEDED", "CANCELLED"]).toContain(line.fields.code);
  });

  it("the service itself says DEADLINE_EXCEEDED, also for a handler that takes no notice", async () => {
    const response = await fetch(`${server.url}/modelmanager.v1.ModelService/DeleteModel`, {
      method: "POST",
      headers: { "content-type": "application/json", "connect-timeout-ms": "50" },
      body: JSON.stringify({ modelId: "llama3" }),
    });
    expect(await response.json()).toMatchObject({
      code: "deadline_exceeded",
      details: [{ type: "google.rpc.ErrorInfo", debug: { reason: "DEADLINE_EXCEEDED" } }],
    });
  });

  it("a deadline beyond what timers know is none", async () => {
    for (const [header, value] of [
      ["grpc-timeout", "99999999H"],
      ["grpc-timeout", "2147484S"],
      ["connect-timeout-ms", "9999999999"],
    ] as const) {
      raise = new DomainError("MODEL_NOT_FOUND", "there is no such model");
      const session = http2.connect(server.url);
      onTestFinished(() => session.destroy());
      const stream = session.request({
        ":method": "POST",
        ":path": "/modelmanager.v1.ModelService/GetModel",
        "content-type": header === "grpc-timeout" ? "application/grpc" : "application/json",
        [header]: value,
      });
      stream.end(header === "grpc-timeout" ? Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0x61]) : '{"modelRef":"a"}');
      if (header === "grpc-timeout") expect((await once(stream, "trailers"))[0]).toMatchObject({ "grpc-status": "5" });
      else expect((await once(stream, "response"))[0]).toMatchObject({ ":status": 404 });
    }
  });

  it("an answer that cannot be encoded is INTERNAL in the log too", async () => {
    const id = randomUUID();
    const response = await fetch(`${server.url}/modelmanager.v1.ModelService/ListVersions`, {
      method: "POST",
      headers: { "content-type": "application/proto", "x-request-id": id },
      body: Buffer.from([0x0a, 1, 0x61]),
    });
    expect(response.status).toBe(500);
    const line = await lineOf(id);
    expect(line).toMatchObject({ level: "error", fields: { code: "INTERNAL" } });
  });

  it("a client that goes away is CANCELLED in the log", async () => {
    const id = randomUUID();
    const call = grpc.listModels({}, withId(id), () => {});
    setTimeout(() => call.cancel(), 50);
    const line = await lineOf(id);
    expect(line.fields).toMatchObject({ method: "modelmanager.v1.ModelService/ListModels", code: "CANCELLED" });
  });

  it("a client that goes away over HTTP/1.1 is CANCELLED in the log", async () => {
    const id = randomUUID();
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    const call = fetch(`${server.url}/modelmanager.v1.ModelService/ListModels`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-request-id": id },
      body: "{}",
      signal: controller.signal,
    });
    await expect(call).rejects.toThrow();
    const line = await lineOf(id);
    expect(line.fields).toMatchObject({ code: "CANCELLED", http: "1.1" });
  });
});

describe("what is raised before any handler", () => {
  it("is RESOURCE_EXHAUSTED for a message that is too large, on every transport", async () => {
    const small = await startRpcServer({ getModel: () => ({}) }, { maxMessageBytes: 1000 });
    onTestFinished(() => small.close());
    const { transports, close } = createTransports(small.url);
    onTestFinished(close);
    for (const [name, transport] of transports) {
      // A query of this length is too large for the head of a request already.
      const request = { modelRef: "x".repeat(name.includes("GET") ? 2000 : 300_000) };
      const error = await failure(createClient(ModelService, transport).getModel(request));
      expect([name, error.code]).toEqual([name, Code.ResourceExhausted]);
    }
    const client = createGrpcJsClient(ModelService, small.address, credentials.createInsecure());
    onTestFinished(() => client.close());
    const error = await new Promise<ServiceError | null>((resolve) =>
      client.getModel({ modelRef: "x".repeat(300_000) }, (reason) => resolve(reason)),
    );
    expect(error).toMatchObject({ code: GrpcStatus.RESOURCE_EXHAUSTED, details: expect.stringContaining("1000") });
    const line = await small.log.line(({ fields }) => fields.protocol === "grpc");
    expect(line.fields).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  });

  it("is UNIMPLEMENTED for an unknown method, in the protocol of the call", async () => {
    const metadata = new Metadata();
    const error = await new Promise<ServiceError | null>((resolve) =>
      grpc.makeUnaryRequest(
        "/modelmanager.v1.ModelService/Frobnicate",
        () => Buffer.alloc(0),
        (bytes) => bytes,
        {},
        metadata,
        (reason) => resolve(reason),
      ),
    );
    expect(error).toMatchObject({
      code: GrpcStatus.UNIMPLEMENTED,
      details: "there is no method modelmanager.v1.ModelService/Frobnicate",
    });
    const response = await fetch(`${server.url}/modelmanager.v1.ModelService/Frobnicate`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect([response.status, await response.json()]).toEqual([
      404,
      { code: "unimplemented", message: "there is no method modelmanager.v1.ModelService/Frobnicate" },
    ]);
  });

  it("is INVALID_ARGUMENT for JSON that cannot be read", async () => {
    for (const body of ["{", "[]", '{"modelRef": 5}', "\u0000"]) {
      const response = await fetch(`${server.url}/modelmanager.v1.ModelService/GetModel`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      });
      expect([body, response.status]).toEqual([body, 400]);
      expect(await response.json()).toMatchObject({ code: "invalid_argument" });
    }
  });

  it("takes requests that are compressed, and compresses no answer", async () => {
    raise = new DomainError("MODEL_NOT_FOUND", "there is no such model");
    const transport = createGrpcTransport({
      baseUrl: server.url,
      sendCompression: compressionGzip,
      compressMinBytes: 0,
    });
    expect((await failure(createClient(ModelService, transport).getModel({ modelRef: "llama3" }))).code).toBe(
      Code.NotFound,
    );
    const response = await fetch(`${server.url}/modelmanager.v1.ModelService/GetModel`, {
      method: "POST",
      headers: { "content-type": "application/json", "accept-encoding": "gzip" },
      body: JSON.stringify({ modelRef: "llama3" }),
    });
    expect(response.headers.get("content-encoding")).toBeNull();
  });
});
