import { randomBytes } from "node:crypto";
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe } from "vitest";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { createBufCurlTransport } from "../support/transports/buf-curl.ts";
import { createGrpcJsTransport } from "../support/transports/grpc-js.ts";
import { createPythonTransport, findPythonWithGrpc } from "../support/transports/python-grpc.ts";
import { type ContractContext, contextOf } from "./suite/context.ts";
import { describeDownloads } from "./suite/downloads.ts";
import { describeFeeds } from "./suite/feeds.ts";
import { describeHealth } from "./suite/health.ts";
import { describeImports } from "./suite/imports.ts";
import { describeModels } from "./suite/models.ts";
import { describeStorage } from "./suite/storage.ts";
import { describeVersions } from "./suite/versions.ts";
import { describeWorkers } from "./suite/workers.ts";

const python = findPythonWithGrpc();
if (!python) console.log("skipped: the contract through Python's grpcio, which is not installed");

/** Every way to call the service; each runs the whole suite. */
const CLIENTS: Record<string, (service: TestService) => Transport & { close?(): unknown }> = {
  "grpc-js": ({ address }) => createGrpcJsTransport(address),
  "Connect over HTTP/1.1": ({ url }) => createConnectTransport({ baseUrl: url, httpVersion: "1.1" }),
  "Connect over HTTP/2": ({ url }) => createConnectTransport({ baseUrl: url, httpVersion: "2" }),
  "gRPC of Connect": ({ url }) => createGrpcTransport({ baseUrl: url }),
  "gRPC-Web over HTTP/1.1": ({ url }) => createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1" }),
  "gRPC-Web over HTTP/2": ({ url }) => createGrpcWebTransport({ baseUrl: url, httpVersion: "2" }),
  "buf curl": ({ url }) => createBufCurlTransport(url, "grpc"),
  ...(python && { "Python grpcio": ({ address }: TestService) => createPythonTransport(python, address) }),
};

/** Those that hand over a stream when it has ended. */
const WHOLE = new Set(["buf curl", "Python grpcio"]);

let service: TestService;
let origin: TestOrigin;
let files: ContractContext["files"];

beforeAll(async () => {
  [service, origin] = await Promise.all([startTestService(), startOrigin()]);
  files = [
    { path: "weights/model.safetensors", bytes: randomBytes(3_000_000) },
    { path: "config.json", bytes: Buffer.from('{"architectures":["Test"]}') },
    { path: "empty", bytes: Buffer.alloc(0) },
  ].map(({ path, bytes }) => ({ path, bytes, url: origin.serve(`/${path}`, bytes) }));
});

afterAll(async () => {
  await service?.stop();
  await origin?.close();
});

describe.each(Object.keys(CLIENTS))("the contract through %s", (name) => {
  let transport: Transport & { close?(): unknown };
  let context: ContractContext;

  beforeAll(() => {
    transport = (CLIENTS[name] as (typeof CLIENTS)[string])(service);
    context = contextOf(transport, files);
  });
  afterAll(() => transport.close?.());

  describe("models", () => describeModels(() => context));
  describe("versions", () => describeVersions(() => context));
  describe("imports", () => describeImports(() => context));
  describe("downloads", () => describeDownloads(() => context));
  describe("storage", () => describeStorage(() => context));
  describe("workers", () => describeWorkers(() => context));
  describe("feeds", () => describeFeeds(() => context, !WHOLE.has(name)));
  describe("health", () => describeHealth(() => context));
});
