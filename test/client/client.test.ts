import { once } from "node:events";
import * as net from "node:net";
import { setImmediate } from "node:timers/promises";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createGrpcJsClient,
  createModelManagerClient,
  DownloadState,
  errorDetails,
  errorReason,
  Health,
  HealthCheckResponse_ServingStatus,
  type ImportModelRequest,
  type ModelManagerClientOptions,
  ModelService,
} from "../../src/client/index.ts";
import { DomainError } from "../../src/domain/errors.ts";
import { type RpcServer, startRpcServer } from "../support/rpc-server.ts";

/** Answers with what it was asked, so that both directions are seen. */
const models: Partial<ServiceImpl<typeof ModelService>> = {
  getModel({ modelRef }) {
    if (modelRef === "gone")
      throw new DomainError("MODEL_NOT_FOUND", "there is no model 'gone'", { metadata: { id: "gone" } });
    return { model: { id: modelRef }, version: { totalBytes: 2n ** 60n } };
  },
  async *watchDownload({ downloadId }) {
    yield { progress: { downloadId, state: DownloadState.TRANSFERRING } };
    yield { progress: { downloadId, state: DownloadState.SUCCEEDED } };
  },
  async importModel(requests: AsyncIterable<ImportModelRequest>) {
    let bytes = 0n;
    for await (const { part } of requests) if (part.case === "chunk") bytes += BigInt(part.value.length);
    return { version: { totalBytes: bytes } };
  },
};

const ID = "01890a5d-ac96-774b-bcce-b302099a8057";
let server: RpcServer;

beforeEach(async () => {
  server = await startRpcServer(models, { token: "t0ken" });
});
afterEach(() => server.close());

describe("the client for Connect", () => {
  const ways: ModelManagerClientOptions[] = [
    {},
    { protocol: "grpc-web" },
    { protocol: "grpc-web", httpVersion: "1.1" },
    { protocol: "connect" },
    { protocol: "connect", httpVersion: "1.1" },
  ];

  it.each(ways)("calls by %j", async (options) => {
    const client = createModelManagerClient(server.url, { ...options, token: "t0ken" });
    try {
      const { model, version } = await client.models.getModel({ modelRef: "llama3" });
      expect([model?.id, version?.totalBytes]).toEqual(["llama3", 2n ** 60n]);
      const states: unknown[] = [];
      for await (const { progress } of client.models.watchDownload({ downloadId: ID })) states.push(progress?.state);
      expect(states).toEqual([DownloadState.TRANSFERRING, DownloadState.SUCCEEDED]);
      expect((await client.health.check({})).status).toBe(HealthCheckResponse_ServingStatus.SERVING);
    } finally {
      client.close();
    }
  });

  it("takes any transport", async () => {
    const transport = createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" });
    const client = createModelManagerClient(transport);
    await expect(client.models.getModel({ modelRef: "x" })).rejects.toMatchObject({ code: Code.Unauthenticated });
    client.close();
  });

  it("refuses what cannot work, before any call", () => {
    expect(() => createModelManagerClient("no url")).toThrow(TypeError);
    expect(() => createModelManagerClient(server.url, { httpVersion: "1.1" })).toThrow(/grpc needs HTTP\/2/);
  });

  it("lives when it is closed while its connection breaks", async () => {
    const other = net.createServer((socket) => socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as net.AddressInfo;
    const client = createModelManagerClient(`http://127.0.0.1:${port}`);
    await expect(client.models.getModel({ modelRef: "a" })).rejects.toBeInstanceOf(ConnectError);
    client.close();
    // The connection closes after that; an error that nobody listens for would fail this file.
    await new Promise((resolve) => other.close(resolve));
    await setImmediate();
  });

  it("connects anew after it was closed", async () => {
    const client = createModelManagerClient(server.url, { token: "t0ken" });
    await client.models.getModel({ modelRef: "a" });
    client.close();
    expect((await client.models.getModel({ modelRef: "b" })).model?.id).toBe("b");
    client.close();
  });
});

describe("the client of grpc-js", () => {
  const authorized = () => {
    const metadata = new Metadata();
    metadata.set("authorization", "Bearer t0ken");
    return metadata;
  };

  it("makes unary, server-streaming and client-streaming calls with the generated messages", async () => {
    const client = createGrpcJsClient(ModelService, server.address, credentials.createInsecure());
    try {
      const answer = await new Promise<bigint | undefined>((resolve, reject) => {
        client.getModel({ modelRef: "llama3" }, authorized(), (error, response) =>
          error ? reject(error) : resolve(response?.version?.totalBytes),
        );
      });
      expect(answer).toBe(2n ** 60n);

      const states: unknown[] = [];
      for await (const { progress } of client.watchDownload({ downloadId: ID }, authorized()))
        states.push(progress.state);
      expect(states).toEqual([DownloadState.TRANSFERRING, DownloadState.SUCCEEDED]);

      const size = await new Promise<bigint | undefined>((resolve, reject) => {
        const call = client.importModel(authorized(), (error, response) =>
          error ? reject(error) : resolve(response?.version?.totalBytes),
        );
        call.write({
          part: { case: "header", value: { modelId: "m", path: "f", size: 3n, digest: `sha256:${"0".repeat(64)}` } },
        });
        call.write({ part: { case: "chunk", value: new Uint8Array(3) } });
        call.end();
      });
      expect(size).toBe(3n);
    } finally {
      client.close();
    }
  });

  it("serves every generated service", async () => {
    const client = createGrpcJsClient(Health, server.address, credentials.createInsecure());
    const watch = client.watch({ service: "liveness" });
    watch.on("error", () => {});
    const [answer] = await once(watch, "data");
    expect(answer).toMatchObject({ status: HealthCheckResponse_ServingStatus.SERVING });
    watch.cancel();
    client.close();
  });
});

describe("what an error says", () => {
  const unknownModel = {
    code: "NOT_FOUND",
    message: "there is no model 'gone'",
    reason: "MODEL_NOT_FOUND",
    metadata: { id: "gone" },
    violations: [],
  };

  it("is the same from Connect and from grpc-js", async () => {
    const connect = createModelManagerClient(server.url, { token: "t0ken" });
    const grpc = createGrpcJsClient(ModelService, server.address, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set("authorization", "Bearer t0ken");
    const errorsOf = async (modelRef: string): Promise<[unknown, ServiceError | null]> => [
      await connect.models.getModel({ modelRef }).catch((error: unknown) => error),
      await new Promise((resolve) => {
        grpc.getModel({ modelRef }, metadata, (error) => resolve(error));
      }),
    ];
    try {
      const [raised, given] = await errorsOf("gone");
      expect(raised).toBeInstanceOf(ConnectError);
      expect(given?.code).toBe(status.NOT_FOUND);
      expect(errorDetails(raised)).toEqual(unknownModel);
      expect(errorDetails(given)).toEqual(unknownModel);
      expect([errorReason(raised), errorReason(given)]).toEqual(["MODEL_NOT_FOUND", "MODEL_NOT_FOUND"]);
      for (const error of await errorsOf("../up")) {
        expect(errorDetails(error)).toMatchObject({
          code: "INVALID_ARGUMENT",
          reason: "FIELD_INVALID",
          violations: [{ field: "model_ref", description: expect.stringMatching(/^must be a model id/) }],
        });
      }
    } finally {
      connect.close();
      grpc.close();
    }
  });

  it("is told of errors that carry no details too, and of nothing else", async () => {
    expect(errorDetails(new ConnectError("gone", Code.Canceled))).toEqual({
      code: "CANCELLED",
      message: "gone",
      reason: undefined,
      metadata: {},
      violations: [],
    });
    expect(errorDetails(new Error("other"))).toBeUndefined();
    expect(errorReason(undefined)).toBeUndefined();
  });
});
