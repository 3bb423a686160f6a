/**
 * The main job in one go, over the real service: a model is registered, downloaded with a visible progress, listed,
 * assigned to a worker, and its bytes in the store are compared with those that the origin has. Ends with 0 only if all of
 * it worked. Everything runs on loopback and in a temporary folder, and is gone afterwards.
 */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { AssignmentState, AssignmentTarget } from "../../gen/modelmanager/v1/assignment_pb.ts";
import { ModelType } from "../../gen/modelmanager/v1/model_pb.ts";
import { createModelManagerClient, type ModelManagerClient } from "../../src/client/connect.ts";
import { humanBytes } from "../../src/lib/bytes.ts";
import { type MadeFile, makeGgufFile, makeModelFolder } from "../support/model-files.ts";
import { startOrigin } from "../support/origin.ts";
import { compareBlobs } from "./compare-blobs.ts";
import { say, step } from "./narration.ts";
import { runCommand, startDemoService } from "./programs.ts";

const MIB = 1024 ** 2;
/** So slow that a person sees the progress. */
const BYTES_PER_SECOND = 12 * MIB;

await using cleanup = new AsyncDisposableStack();
process.once("SIGINT", () => cleanup.disposeAsync().finally(() => process.exit(130)));

step("Making model files and serving them from a web server on loopback");
const folder = await mkdtemp(join(os.tmpdir(), "model-manager-demo-"));
cleanup.defer(() => rm(folder, { recursive: true, force: true }));
const models = join(folder, "models");
await mkdir(models);
const safetensors = await makeModelFolder(models, { bytes: 32 * MIB });
const gguf = await makeGgufFile(models, "tiny-llama.gguf", { bytes: 12 * MIB });
const files = [...safetensors, gguf];
const origin = await startOrigin();
cleanup.defer(() => origin.close());
const urls = new Map<string, string>();
for (const file of files) {
  const bytes = await readFile(join(models, file.path));
  urls.set(file.path, origin.serve(`/${file.path}`, bytes, { bytesPerSecond: BYTES_PER_SECOND }));
  say(`${humanBytes(file.size).padStart(9)}  ${urls.get(file.path)}`);
}

step("Starting the service, with a database of its own");
const data = join(folder, "data");
const service = await startDemoService(data);
cleanup.defer(() => service.stop());
say(`it listens on ${service.url}`);
const client = createModelManagerClient(service.url);
cleanup.defer(() => client.close());

step("Registering a model and downloading it");
const download = await registerAndStart(client, safetensors);
await runCommand(service, ["downloads", "watch", download]);

step("Downloading a single file, registered on the way");
await runCommand(service, ["pull", urls.get(gguf.path) ?? ""]);

step("What the registry knows");
await runCommand(service, ["ls"]);
await runCommand(service, ["show", "demo/llama"]);

step("A worker registers, is given the model, and says that it serves it");
await workWith(client);
await runCommand(service, ["workers"]);
await runCommand(service, ["workers", "show", "worker-1"]);

step("Health");
await runCommand(service, ["health"]);

step("Comparing the bytes in the store with those of the origin");
await compareBlobs(client, ["demo/llama", "tiny-llama"], join(data, "store"), files);

step("Stopping the service");
await service.stop();
say("all of it worked");

async function registerAndStart({ models }: ModelManagerClient, made: readonly MadeFile[]): Promise<string> {
  const sourceFiles = made.map(({ path, sha256 }) => ({ url: urls.get(path), path, sha256 }));
  await models.createModel({
    model: {
      id: "demo/llama",
      type: ModelType.LLM,
      displayName: "A small llama",
      labels: { purpose: "demo" },
      source: { kind: { case: "http", value: { files: sourceFiles } } },
    },
  });
  const { download } = await models.startDownload({ modelId: "demo/llama" });
  if (download === undefined) throw new Error("the service answered without a download");
  return download.id;
}

async function workWith({ workers }: ModelManagerClient): Promise<void> {
  const workerId = "worker-1";
  const { sessionToken } = await workers.registerWorker({
    worker: { id: workerId, address: "127.0.0.1:9000", labels: { zone: "a" }, capacity: { memoryBytes: 1n << 34n } },
  });
  await workers.heartbeat({ workerId, sessionToken, load: { utilization: 0.2 } });
  const { assignment } = await workers.assignModel({
    modelRef: "demo/llama",
    workerId,
    target: AssignmentTarget.SERVING,
  });
  if (assignment === undefined) throw new Error("the service answered without an assignment");
  const report = { assignmentId: assignment.id, state: AssignmentState.READY, address: "127.0.0.1:9000/v1" };
  await workers.heartbeat({ workerId, sessionToken, load: { utilization: 0.4 }, assignments: [report] });
  const { assignments } = await workers.listWorkerModels({ workerId });
  if (assignments[0]?.state !== AssignmentState.READY) throw new Error("the worker's model is not ready");
}
