import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { EventKind } from "../../gen/modelmanager/v1/event_pb.ts";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";
import { collect, expectError } from "../contract/suite/context.ts";
import { startTestService } from "../support/service.ts";

test("a shutdown ends watches as unavailable and does not wait for them", async () => {
  const service = await startTestService({ MODEL_MANAGER_SHUTDOWN_GRACE: "15s" });
  const transport = createGrpcTransport({ baseUrl: service.url });
  const open = [
    createClient(ModelService, transport).watchModels({}),
    createClient(WorkerService, transport).watchWorkers({}),
  ].map((stream) => stream[Symbol.asyncIterator]());
  for (const stream of open) expect((await stream.next()).value?.event?.kind).toBe(EventKind.BOOKMARK);
  const ends = open.map((stream) =>
    expectError(collect<unknown>({ [Symbol.asyncIterator]: () => stream }), Code.Unavailable, "SHUTTING_DOWN"),
  );
  const began = performance.now();
  await service.stop();
  expect(performance.now() - began).toBeLessThan(5000);
  await Promise.all(ends);
});
