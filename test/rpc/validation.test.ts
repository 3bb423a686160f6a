import { create, type DescMessage, type MessageInitShape, ScalarType } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { createClient } from "@connectrpc/connect";
import { credentials, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ModelType } from "../../gen/modelmanager/v1/model_pb.ts";
import {
  CreateModelRequestSchema,
  CreateVersionRequestSchema,
  GetModelRequestSchema,
  ModelService,
  SetAliasRequestSchema,
  StartDownloadRequestSchema,
  UpdateModelRequestSchema,
} from "../../gen/modelmanager/v1/model_service_pb.ts";

import { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";
import { errorDetails } from "../../src/client/error-details.ts";
import { createGrpcJsClient } from "../../src/client/grpc-js.ts";
import { isDomainError } from "../../src/domain/errors.ts";
import { createRequestValidator } from "../../src/rpc/validation.ts";
import { createTransports, type RpcServer, startRpcServer } from "../support/rpc-server.ts";

const validate = createRequestValidator();

/** The violations of a request as `field: rule`; empty if it is valid. */
function violations<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): string[] {
  return violationsOf(() => validate(schema, create(schema, init)));
}

function violationsOf(check: () => void): string[] {
  try {
    check();
    return [];
  } catch (error) {
    if (!isDomainError(error, "FIELD_INVALID")) throw error;
    return error.violations.map(({ field, description }) => `${field}: ${description}`);
  }
}

describe("a request", () => {
  const upload = { kind: { case: "upload", value: {} } } as const;

  it("passes if it keeps all rules", () => {
    expect(
      violations(CreateModelRequestSchema, { model: { id: "Qwen/Qwen2.5-0.5B", type: ModelType.LLM, source: upload } }),
    ).toEqual([]);
    expect(violations(GetModelRequestSchema, { modelRef: "llama3@production" })).toEqual([]);
  });

  it.each(["", "..", "a/../b", "/a", "a/", "a/b/c", "a\u0000b", "a".repeat(300), "-a"])(
    "is refused for the id %j",
    (modelRef) => {
      expect(violations(GetModelRequestSchema, { modelRef })).toEqual([expect.stringMatching(/^model_ref: must be /)]);
    },
  );

  it("is refused with the path of the field, into lists, maps and oneofs", () => {
    const files = [{ url: "https://example.com/a" }, { url: "ftp://example.com/a" }];
    const found = violations(CreateModelRequestSchema, {
      model: {
        id: "a",
        type: 99 as ModelType,
        displayName: "x".repeat(300),
        labels: { ok: "fine", "bad key": "x", long: "v".repeat(300) },
        source: { kind: { case: "http", value: { files } } },
      },
    });
    expect(found.map((text) => text.slice(0, text.indexOf(": "))).sort()).toEqual(
      [
        "model.type",
        "model.display_name",
        'model.labels["bad key"]',
        'model.labels["long"]',
        "model.source.http.files[1].url",
      ].sort(),
    );
    expect(found).toContain("model.type: must be one of the defined enum values");
  });

  it("is refused with the field that a rule of the whole message names", () => {
    expect(violations(CreateModelRequestSchema, {})).toEqual(["model: is required"]);
    expect(violations(CreateModelRequestSchema, { model: {} })).toEqual(
      expect.arrayContaining(["model.id: is required", "model.type: is required"]),
    );
    expect(violations(UpdateModelRequestSchema, { model: { displayName: "x" } })).toEqual(["model.id: is required"]);
  });

  it("is refused for digests and paths of files", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    for (const path of ["../x", "/x", "a\\..\\b", "C:x", "", "a//b", "./a", "a\n"]) {
      const request = { modelId: "a", files: [{ path, digest }] };
      expect(violations(CreateVersionRequestSchema, request)).toEqual([
        expect.stringMatching(/^files\[0\]\.path: must be/),
      ]);
    }
    for (const bad of ["", "sha256:", digest.toUpperCase(), `${digest}0`, "a".repeat(64)]) {
      const request = { modelId: "a", files: [{ path: "x", digest: bad }] };
      expect(violations(CreateVersionRequestSchema, request)).toEqual([
        expect.stringMatching(/^files\[0\]\.digest: must be/),
      ]);
    }
  });

  it("has rules that can be evaluated, in every message of the contract", () => {
    for (const service of [ModelService, WorkerService]) {
      for (const method of service.methods) {
        try {
          validate(method.input, create(method.input));
        } catch (error) {
          expect(isDomainError(error, "FIELD_INVALID"), `${method.name}: ${error}`).toBe(true);
        }
      }
    }
  });

  it("has a limit for every text of a request, and takes none that cannot be stored", () => {
    const texts = [ModelService, WorkerService].flatMap((service) =>
      service.methods.flatMap(({ input }) =>
        input.fields.flatMap((field) =>
          field.fieldKind === "scalar" && field.scalar === ScalarType.STRING ? [{ input, field }] : [],
        ),
      ),
    );
    expect(texts.length).toBeGreaterThan(40);
    for (const { input, field } of texts) {
      // Where these are read, it is known exactly what they may be.
      const isReadElsewhere = /^(?:page_token|order_by)$/.test(field.name);
      for (const text of ["x".repeat(10_000), ...(isReadElsewhere ? [] : ["a\u0000"])]) {
        const message = reflect(input);
        message.set(field, text);
        const found = violationsOf(() => validate(input, message.message));
        expect(found, `${input.name}.${field.name}`).toContainEqual(expect.stringMatching(`^${field.name}: must`));
      }
    }
  });

  it("is refused for a list or a map that is too long, before its elements are looked at", () => {
    expect(violations(StartDownloadRequestSchema, { modelId: "a", allowPatterns: Array(2_000).fill("") })).toEqual([
      "allow_patterns: must have at most 100 elements",
    ]);
    const files = Array.from({ length: 1001 }, () => ({ url: "" }));
    const labels = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [` ${index}`, ""]));
    const source = { kind: { case: "http", value: { files } } } as const;
    expect(violations(CreateModelRequestSchema, { model: { id: "..", labels, source } })).toEqual([
      "model.labels: must have at most 64 entries",
      "model.source.http.files: must have at most 1000 elements",
    ]);
  });

  it("names the first field in its message, and how many there are more", () => {
    const message = create(SetAliasRequestSchema, { modelId: "..", alias: "a b" });
    expect(() => validate(SetAliasRequestSchema, message)).toThrow(/^model_id: must be .* \(and \d more\)$/);
  });
});

describe("over the wire", () => {
  let server: RpcServer;
  let received: string[] = [];

  beforeAll(async () => {
    server = await startRpcServer({
      getModel: ({ modelRef }) => {
        received.push(modelRef);
        return {};
      },
      async *watchDownload({ downloadId }) {
        received.push(downloadId);
        yield {};
      },
      async importModel(requests) {
        for await (const { part } of requests) received.push(part.case ?? "");
        return {};
      },
    });
  });
  afterAll(() => server.close());

  it("nothing invalid reaches a handler, on any transport", async () => {
    received = [];
    const { transports, close } = createTransports(server.url);
    for (const [name, transport] of transports) {
      const client = createClient(ModelService, transport);
      const unary = await client.getModel({ modelRef: "../x" }).catch(errorDetails);
      expect([name, unary]).toMatchObject([
        name,
        { code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", violations: [{ field: "model_ref" }] },
      ]);
      const stream = await client
        .watchDownload({ downloadId: "nonsense" })
        [Symbol.asyncIterator]()
        .next()
        .catch(errorDetails);
      expect([name, stream]).toMatchObject([
        name,
        { code: "INVALID_ARGUMENT", reason: "FIELD_INVALID", violations: [{ field: "download_id" }] },
      ]);
    }
    close();
    expect(received).toEqual([]);
  });

  it("each message of a client's stream is checked", async () => {
    received = [];
    const client = createGrpcJsClient(ModelService, server.address, credentials.createInsecure());
    const error = await new Promise<ServiceError | null>((resolve) => {
      const call = client.importModel((reason) => resolve(reason));
      call.write({ part: { case: "chunk", value: Buffer.from("a") } });
      call.write({
        part: { case: "header", value: { modelId: "a", path: "../x", size: 1n, digest: `sha256:${"a".repeat(64)}` } },
      });
      call.end();
    });
    client.close();
    expect(errorDetails(error)).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field: "header.path" }] });
    expect(received).toEqual(["chunk"]);
  });
});
