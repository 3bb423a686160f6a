import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { credentials } from "@grpc/grpc-js";
import { GrpcReflection } from "grpc-js-reflection-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServerReflection as V1 } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as V1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { file_modelmanager_v1_rules } from "../../gen/modelmanager/v1/rules_pb.ts";
import { DomainError } from "../../src/domain/errors.ts";
import { BUF } from "../support/buf.ts";
import { type RpcServer, startRpcServer } from "../support/rpc-server.ts";

const SERVICES = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  "modelmanager.v1.ModelService",
];
const JOB = "01890a5d-ac96-774b-bcce-b302099a8057";

let server: RpcServer;
let sessionManager: Http2SessionManager;

beforeAll(async () => {
  server = await startRpcServer({
    getModel({ modelRef }) {
      if (modelRef !== "llama3") throw new DomainError("MODEL_NOT_FOUND", `model_ref: there is no model '${modelRef}'`);
      return { model: { id: modelRef } };
    },
    async *watchDownload({ downloadId }) {
      yield { progress: { downloadId } };
      yield { progress: { downloadId, completedBytes: 5n } };
    },
  });
  sessionManager = new Http2SessionManager(server.url);
});
afterAll(async () => {
  sessionManager.abort();
  await server.close();
});

/** Asks both versions of the protocol the same questions in one stream each; they must say the same. */
async function ask(...questions: Question[]) {
  const transport = createGrpcTransport({ baseUrl: server.url, sessionManager });
  async function* requests() {
    for (const messageRequest of questions) yield { host: "here", messageRequest };
  }
  const answers = [];
  for await (const answer of createClient(V1, transport).serverReflectionInfo(requests())) answers.push(answer);
  const alpha = [];
  for await (const answer of createClient(V1Alpha, transport).serverReflectionInfo(requests())) alpha.push(answer);
  expect(strip(alpha)).toEqual(strip(answers));
  expect(answers.map(({ validHost, originalRequest }) => [validHost, originalRequest?.messageRequest.case])).toEqual(
    questions.map(({ case: name }) => ["here", name]),
  );
  return answers.map(({ messageResponse }) => messageResponse);
}

type Question =
  | { case: "listServices" | "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType"; value: string }
  | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } };

function strip(answers: unknown[]): string {
  return JSON.stringify(answers, (key, value) => (key === "$typeName" ? undefined : value));
}

type Answer = Awaited<ReturnType<typeof ask>>[number];

function filesOf(answer: Answer | undefined): FileDescriptorProto[] {
  if (answer?.case !== "fileDescriptorResponse") throw new Error(`no files, but ${JSON.stringify(answer)}`);
  return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

describe("reflection v1 and v1alpha", () => {
  it("list every service", async () => {
    const [answer] = await ask({ case: "listServices", value: "" });
    if (answer?.case !== "listServicesResponse") throw new Error("no list");
    expect(answer.value.service.map(({ name }) => name)).toEqual(SERVICES);
  });

  it("give a file with all its dependencies, complete enough to build on", async () => {
    const [answer] = await ask({ case: "fileContainingSymbol", value: "modelmanager.v1.ModelService" });
    const files = filesOf(answer);
    expect(files[0]?.name).toBe("modelmanager/v1/model_service.proto");
    const names = files.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["buf/validate/validate.proto", "google/protobuf/timestamp.proto"]));
    // It only annotates, and protobufjs could not copy what depends on it.
    expect(names).not.toContain("modelmanager/v1/rules.proto");
    for (const { dependency } of files) expect(names).toEqual(expect.arrayContaining(dependency));
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: files.reverse() }));
    expect(registry.getService("modelmanager.v1.ModelService")?.methods.length).toBeGreaterThan(20);
  });

  it.each([
    ["fileByFilename", "google/rpc/error_details.proto", "google/rpc/error_details.proto"],
    ["fileContainingSymbol", "google.rpc.ErrorInfo", "google/rpc/error_details.proto"],
    ["fileContainingSymbol", ".google.rpc.BadRequest.FieldViolation", "google/rpc/error_details.proto"],
    ["fileContainingSymbol", "modelmanager.v1.ModelService.GetModel", "modelmanager/v1/model_service.proto"],
    ["fileContainingSymbol", "modelmanager.v1.Model", "modelmanager/v1/model.proto"],
    ["fileContainingSymbol", "modelmanager.v1.Model.display_name", "modelmanager/v1/model.proto"],
    ["fileContainingSymbol", "modelmanager.v1.ModelType", "modelmanager/v1/model.proto"],
    ["fileContainingSymbol", "modelmanager.v1.MODEL_TYPE_LLM", "modelmanager/v1/model.proto"],
    ["fileContainingSymbol", "modelmanager.v1.is_model_id", "modelmanager/v1/rules.proto"],
    ["fileContainingSymbol", "grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"],
    ["fileContainingSymbol", "grpc.reflection.v1alpha.ServerReflection", "grpc/reflection/v1alpha/reflection.proto"],
  ] as const)("%s %s", async (name, value, file) => {
    const [answer] = await ask({ case: name, value });
    expect(filesOf(answer)[0]?.name).toBe(file);
  });

  it("know extensions", async () => {
    const [file, numbers, none] = await ask(
      {
        case: "fileContainingExtension",
        value: { containingType: "buf.validate.StringRules", extensionNumber: 100001 },
      },
      { case: "allExtensionNumbersOfType", value: "buf.validate.StringRules" },
      { case: "allExtensionNumbersOfType", value: "modelmanager.v1.Model" },
    );
    expect(filesOf(file)[0]?.name).toBe("modelmanager/v1/rules.proto");
    const rules = file_modelmanager_v1_rules.extensions.filter(({ extendee }) => extendee.name === "StringRules");
    expect(numbers).toMatchObject({
      case: "allExtensionNumbersResponse",
      value: { extensionNumber: rules.map(({ number }) => number) },
    });
    expect(none).toMatchObject({ case: "allExtensionNumbersResponse", value: { extensionNumber: [] } });
  });

  it("say NOT_FOUND inside the stream, and go on", async () => {
    const answers = await ask(
      { case: "fileContainingSymbol", value: "nobody.Knows" },
      { case: "fileByFilename", value: "nothing.proto" },
      { case: "fileContainingExtension", value: { containingType: "modelmanager.v1.Model", extensionNumber: 7 } },
      { case: "allExtensionNumbersOfType", value: "nobody.Knows" },
      { case: "listServices", value: "*" },
    );
    expect(answers.map(({ case: name }) => name)).toEqual([...Array(4).fill("errorResponse"), "listServicesResponse"]);
    expect(answers[0]).toMatchObject({ value: { errorCode: 5 } });
  });
});

describe("grpc-js-reflection-client", () => {
  it.each(["v1", "v1alpha"])("lists services and their methods by %s", async (version) => {
    const client = new GrpcReflection(server.address, credentials.createInsecure(), {}, version);
    expect(await client.listServices()).toEqual(SERVICES);
    const methods = await client.listMethods("modelmanager.v1.ModelService");
    expect(methods.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["GetModel", "DownloadModel", "ImportModel"]),
    );
    const model = await client.getDescriptorBySymbol("modelmanager.v1.ModelService");
    const service = model.getProtobufJsRoot().lookupService("modelmanager.v1.ModelService");
    expect(Object.keys(service.methods)).toEqual(expect.arrayContaining(["GetModel", "WatchDownload", "ImportModel"]));
  });
});

describe("buf curl", () => {
  const curl = (protocol: string, method: string, data: object) =>
    promisify(execFile)(BUF, [
      "curl",
      "--http2-prior-knowledge",
      "--protocol",
      protocol,
      "--data",
      JSON.stringify(data),
      `${server.url}/${method}`,
    ]);

  it.each(["grpc", "grpcweb", "connect"])(
    "calls by reflection over %s, and prints errors with details",
    async (protocol) => {
      const get = "modelmanager.v1.ModelService/GetModel";
      const { stdout } = await curl(protocol, get, { modelRef: "llama3" });
      expect(JSON.parse(stdout)).toEqual({ model: { id: "llama3" } });
      const failure = await curl(protocol, get, { modelRef: "gone" }).catch((error: { stderr: string }) => error);
      const error = JSON.parse("stderr" in failure ? failure.stderr : "");
      expect(error).toMatchObject({ code: "not_found", message: "model_ref: there is no model 'gone'" });
      expect(error.details).toMatchObject([{ type: "google.rpc.ErrorInfo" }]);
      expect(Buffer.from(error.details[0].value, "base64").toString()).toContain("MODEL_NOT_FOUND");
    },
  );

  it("reads a stream", async () => {
    const { stdout } = await curl("grpc", "modelmanager.v1.ModelService/WatchDownload", { downloadId: JOB });
    expect(stdout).toContain('"completedBytes":');
  });

  it("lists methods", async () => {
    const { stdout } = await promisify(execFile)(BUF, [
      "curl",
      "--http2-prior-knowledge",
      "--list-methods",
      server.url,
    ]);
    expect(stdout).toContain("modelmanager.v1.ModelService/GetModel");
  });
});
