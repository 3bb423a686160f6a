import * as http2 from "node:http2";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { errorDetails } from "../../src/client/error-details.ts";
import { createGrpcJsClient, type GrpcJsClient } from "../../src/client/grpc-js.ts";
import { createTransports, type RpcServer, startRpcServer } from "../support/rpc-server.ts";

const TOKEN = "correct-horse-battery-staple";
let server: RpcServer;
let grpc: GrpcJsClient<typeof ModelService.method>;
let called = 0;

beforeAll(async () => {
  const models = {
    getModel: () => {
      called += 1;
      return {};
    },
    async importModel(requests: AsyncIterable<unknown>) {
      called += 1;
      for await (const _request of requests);
      return {};
    },
  };
  server = await startRpcServer(models, { token: TOKEN });
  grpc = createGrpcJsClient(ModelService, server.address, credentials.createInsecure());
});
afterAll(async () => {
  grpc.close();
  await server.close();
});

function getModel(authorization?: string): Promise<ServiceError | null> {
  const metadata = new Metadata();
  if (authorization !== undefined) metadata.set("authorization", authorization);
  return new Promise((resolve) => grpc.getModel({ modelRef: "llama3" }, metadata, (error) => resolve(error)));
}

describe("with a token configured", () => {
  it.each([`Bearer ${TOKEN}`, `bearer ${TOKEN}`, `BEARER  ${TOKEN}`])("%j passes", async (authorization) => {
    expect(await getModel(authorization)).toBeNull();
  });

  it.each([
    undefined,
    "",
    "Bearer",
    "Bearer ",
    TOKEN,
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    `Bearer ${TOKEN.toUpperCase()}`,
    `Bearer ${TOKEN} ${TOKEN}`,
  ])("%j is UNAUTHENTICATED", async (authorization) => {
    const before = called;
    expect(errorDetails(await getModel(authorization))).toMatchObject({
      code: "UNAUTHENTICATED",
      reason: "UNAUTHENTICATED",
      message: expect.stringMatching(/token/),
    });
    expect(called).toBe(before);
  });

  it("no transport gets in without it", async () => {
    const { transports, close } = createTransports(server.url);
    for (const [name, transport] of transports) {
      const error = await createClient(ModelService, transport).getModel({ modelRef: "a" }).catch(ConnectError.from);
      expect([name, error]).toMatchObject([name, { code: Code.Unauthenticated }]);
    }
    close();
  });

  it("a client's stream is refused before it ends", async () => {
    const error = await new Promise<ServiceError | null>((resolve) => {
      const call = grpc.importModel((reason) => resolve(reason));
      call.on("error", () => {});
      call.write({ part: { case: "chunk", value: Buffer.from("a") } });
    });
    expect(errorDetails(error)?.code).toBe("UNAUTHENTICATED");
  });

  it("health needs none, reflection does", async () => {
    const transport = createGrpcTransport({ baseUrl: server.url });
    expect((await createClient(Health, transport).check({})).status).toBe(1);
    async function* requests() {
      yield { messageRequest: { case: "listServices" as const, value: "" } };
    }
    const reflection = createClient(ServerReflection, transport).serverReflectionInfo(requests());
    await expect(reflection[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: Code.Unauthenticated });
  });

  it("plain pages need it too, but for health", async () => {
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    const refused = await fetch(`${server.url}/`, { headers: { authorization: "Bearer wrong" } });
    expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="model-manager"']);
    expect(await refused.json()).toEqual({ code: "unauthenticated", message: "the token is not valid" });
    expect((await fetch(`${server.url}/`, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200);

    const session = http2.connect(server.url);
    const stream = session.request({ ":method": "POST", ":path": "/anything" });
    stream.write("a body that nobody reads");
    const status = await new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
    expect(status).toBe(401);
    session.destroy();
  });

  it("the log has no token", async () => {
    await getModel(`Bearer ${TOKEN}`);
    expect(JSON.stringify(server.log.lines)).not.toContain(TOKEN);
  });
});
