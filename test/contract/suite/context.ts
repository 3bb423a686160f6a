import { randomUUID } from "node:crypto";
import { type Client, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { expect } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ModelType } from "../../../gen/modelmanager/v1/model_pb.ts";
import { ModelService } from "../../../gen/modelmanager/v1/model_service_pb.ts";
import { WorkerService } from "../../../gen/modelmanager/v1/worker_service_pb.ts";

/** What a suite needs: a client of each service over one transport, and files to download. */
export interface ContractContext {
  readonly models: Client<typeof ModelService>;
  readonly workers: Client<typeof WorkerService>;
  readonly health: Client<typeof Health>;
  /** Files of an honest origin, with their bytes. */
  readonly files: readonly { url: string; path: string; bytes: Uint8Array }[];
}

/** Clients over a transport. */
export function contextOf(transport: Transport, files: ContractContext["files"]): ContractContext {
  return {
    models: createClient(ModelService, transport),
    workers: createClient(WorkerService, transport),
    health: createClient(Health, transport),
    files,
  };
}

/** A fresh id, so that suites do not meet. */
export function freshId(prefix: string): string {
  return `${prefix}-${randomUUID().slice(0, 8)}`;
}

/** Registers a model whose source are the context's files. */
export async function createModel({ models, files }: ContractContext, id = freshId("model"), labels = {}) {
  const { model } = await models.createModel({
    model: {
      id,
      type: ModelType.LLM,
      labels,
      source: { kind: { case: "http", value: { files: files.map(({ url, path }) => ({ url, path })) } } },
    },
  });
  if (!model) throw new Error("no model in the answer");
  return model;
}

/** Registers a model and waits until it is downloaded. */
export async function createAvailableModel(context: ContractContext, id?: string) {
  const model = await createModel(context, id);
  for await (const _ of context.models.downloadModel({ modelId: model.id })) {
    // The stream ends when the download does.
  }
  return model;
}

/** Expects a call to fail with a code and a reason; answers the field violations. */
export async function expectError(call: Promise<unknown>, code: number, reason: string): Promise<ViolatedField[]> {
  const error = await call.then(
    () => undefined,
    (raised: unknown) => ConnectError.from(raised),
  );
  expect(error, "the call succeeded").toBeDefined();
  const [info] = error?.findDetails(ErrorInfoSchema) ?? [];
  expect({ code: error?.code, reason: info?.reason, message: error?.rawMessage }).toMatchObject({ code, reason });
  expect(info?.domain).toBe("modelmanager.v1");
  const [badRequest] = error?.findDetails(BadRequestSchema) ?? [];
  return (badRequest?.fieldViolations ?? []).map(({ field, description }) => ({ field, description }));
}

interface ViolatedField {
  readonly field: string;
  readonly description: string;
}

/** Collects a stream. */
export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}
