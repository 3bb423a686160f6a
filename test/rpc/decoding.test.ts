import { once } from "node:events";
import * as http2 from "node:http2";
import { credentials, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { createGrpcJsClient } from "../../src/client/grpc-js.ts";
import { type RpcServer, startRpcServer } from "../support/rpc-server.ts";

const JSON_TYPE = "application/json";
/** A field of length 100, and nothing of it. */
const TRUNCATED = Buffer.from([0x0a, 100]);
const INVALID_ARGUMENT = "3";

let server: RpcServer;

beforeAll(async () => {
  server = await startRpcServer({
    createModel: ({ model }) => ({ model }),
    getModel: () => ({}),
    async *watchDownload() {},
    async importModel(requests) {
      for await (const _request of requests);
      return {};
    },
  });
});

afterAll(() => server.close());

/** Calls a method of ModelService as curl would. */
async function post(method: string, body: string | Buffer, type = JSON_TYPE) {
  const url = `${server.url}/modelmanager.v1.ModelService/${method}`;
  return answerOf(await fetch(url, { method: "POST", headers: { "content-type": type }, body }));
}

async function get(method: string, query: string) {
  return answerOf(await fetch(`${server.url}/modelmanager.v1.ModelService/${method}?${query}`));
}

async function answerOf(response: Response) {
  const body = (await response.json()) as { code: string; message: string };
  return { status: response.status, allow: response.headers.get("allow"), body };
}

/** Calls a method with a message of raw bytes over gRPC, and answers its status. */
async function grpcStatus(method: string, message: Buffer): Promise<unknown> {
  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  const path = `/modelmanager.v1.ModelService/${method}`;
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
  stream.resume();
  const [headers] = await once(stream, "response");
  if (headers["grpc-status"] !== undefined) return headers["grpc-status"];
  const [trailers] = await once(stream, "trailers");
  return trailers["grpc-status"];
}

describe("a JSON request", () => {
  it.each([
    ["a field", "GetModel", { modelReff: "llama3" }, "modelReff"],
    ["a field further down", "CreateModel", { model: { id: "a", nam: "b" } }, "nam"],
    ["a name of an enum", "CreateModel", { model: { id: "a", type: "MODEL_TYPE_LLMM" } }, "MODEL_TYPE_LLMM"],
  ])("with %s that does not exist is refused by name", async (_what, method, request, name) => {
    const { status, body } = await post(method, JSON.stringify(request));
    expect({ status, code: body.code }).toEqual({ status: 400, code: "invalid_argument" });
    expect(body.message).toContain(name);
  });

  it("may have names in either spelling, and nothing at all", async () => {
    expect((await post("GetModel", '{"modelRef": "llama3"}')).status).toBe(200);
    expect((await post("GetModel", '{"model_ref": "llama3"}')).status).toBe(200);
  });
});

describe("a binary request", () => {
  it("may have fields that are not known: they are a newer client's", async () => {
    const modelRef = Buffer.from([0x0a, 1, 0x61]);
    const unknown = Buffer.from([0xc0, 0x3e, 1]);
    expect(
      (
        await fetch(`${server.url}/modelmanager.v1.ModelService/GetModel`, {
          method: "POST",
          headers: { "content-type": "application/proto" },
          body: Buffer.concat([modelRef, unknown]),
        })
      ).status,
    ).toBe(200);
    expect(await grpcStatus("GetModel", Buffer.concat([modelRef, unknown]))).toBe("0");
  });

  it.each(["GetModel", "WatchDownload", "ImportModel"])(
    "that is malformed is %s's INVALID_ARGUMENT over gRPC",
    async (method) => {
      expect(await grpcStatus(method, TRUNCATED)).toBe(INVALID_ARGUMENT);
    },
  );

  it("that is malformed is INVALID_ARGUMENT over Connect, and no fault in the log", async () => {
    expect(await post("GetModel", TRUNCATED, "application/proto")).toMatchObject({
      status: 400,
      body: { code: "invalid_argument" },
    });
    const line = await server.log.line(
      ({ fields }) => fields.code === "INVALID_ARGUMENT" && fields.protocol === "connect",
    );
    expect(line.level).toBe("info");
  });
});

describe("a GET", () => {
  it.each([
    ["encoding=proto&base64=1&message=%25%25%25", /base64/],
    ["encoding=json&message=%7B", /JSON|decode/i],
    ["encoding=proto&base64=1&message=CmQ", /parse binary/],
  ])("with the query %s is INVALID_ARGUMENT", async (query, message) => {
    const { status, body } = await get("GetModel", query);
    expect({ status, code: body.code }).toEqual({ status: 400, code: "invalid_argument" });
    expect(body.message).toMatch(message);
  });

  it("that is right is answered", async () => {
    expect((await get("GetModel", "encoding=json&message=%7B%22modelRef%22%3A%22a%22%7D")).status).toBe(200);
  });
});

describe("what curl gets wrong is answered in JSON that says what to send", () => {
  it("without the content type", async () => {
    const { status, body } = await post("GetModel", "{}", "application/x-www-form-urlencoded");
    expect(status).toBe(415);
    expect(body).toEqual({
      code: "invalid_argument",
      message: expect.stringContaining("'content-type: application/json'"),
    });
  });

  it("by GET on what changes something", async () => {
    const { status, allow, body } = await get("CreateModel", "");
    expect({ status, allow }).toEqual({ status: 405, allow: "POST" });
    expect(body).toEqual({ code: "unimplemented", message: expect.stringContaining("by POST") });
  });

  it("by GET without a query", async () => {
    const { status, body } = await get("GetModel", "");
    expect(status).toBe(415);
    expect(body.message).toContain("?encoding=json&message=");
  });

  it("with plain JSON for a stream", async () => {
    const { status, body } = await post("WatchDownload", "{}");
    expect(status).toBe(415);
    expect(body.message).toContain("application/connect+json");
  });
});

it("clients of gRPC notice nothing of it", async () => {
  const client = createGrpcJsClient(ModelService, server.address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const code = await new Promise((resolve) =>
    client.getModel({ modelRef: "a" }, (error) => resolve(error?.code ?? status.OK)),
  );
  expect(code).toBe(status.OK);
});
