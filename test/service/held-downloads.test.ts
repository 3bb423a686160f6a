import { createHash, randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Download, DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { ModelType } from "../../gen/modelmanager/v1/model_pb.ts";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { createDataFolder } from "../support/data-folder.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { processesBelow } from "../support/processes.ts";
import { type ServiceProcess, startServiceProcess } from "../support/service-process.ts";

const MIB = 1024 * 1024;

let data: string;
let origin: TestOrigin;
let service: ServiceProcess | undefined;

beforeEach(async () => {
  data = await createDataFolder();
  origin = await startOrigin();
});

afterEach(async () => {
  await killService();
  await expect.poll(() => processesBelow(data), { timeout: 10_000 }).toEqual([]);
  await origin.close();
  await rm(data, { recursive: true, force: true });
});

async function start() {
  service = await startServiceProcess({ MODEL_MANAGER_DATA: data, MODEL_MANAGER_ALLOW_NETWORKS: "127.0.0.0/8" });
  return createClient(ModelService, createGrpcTransport({ baseUrl: service.url }));
}

async function killService(): Promise<void> {
  service?.kill("SIGKILL");
  await service?.exited;
  service = undefined;
}

it("what callers wished of downloads outlasts kill -9", async () => {
  let models = await start();
  const begin = async (id: string, bytes: Uint8Array): Promise<string> => {
    const url = origin.serve(`/${id}`, bytes, { methods: ["GET"], bytesPerSecond: 4 * MIB });
    const source = { kind: { case: "http" as const, value: { files: [{ url }] } } };
    await models.createModel({ model: { id, type: ModelType.LLM, source } });
    const { download } = await models.startDownload({ modelId: id, priority: 3, rateLimit: BigInt(64 * MIB) });
    const downloadId = download?.id ?? "";
    for await (const { progress } of models.watchDownload({ downloadId })) {
      if ((progress?.completedBytes ?? 0n) > BigInt(MIB)) break;
    }
    return downloadId;
  };
  const read = async (downloadId: string): Promise<Download | undefined> =>
    (await models.getDownload({ downloadId })).download;

  const bytes = randomBytes(16 * MIB);
  const held = await begin("held", bytes);
  const ended = await begin("ended", randomBytes(16 * MIB));
  await models.pauseDownload({ downloadId: held });
  await models.updateDownload({ downloadId: held, priority: -2 });
  await models.cancelDownload({ downloadId: ended });
  await killService();
  models = await start();

  expect(await read(ended)).toMatchObject({ state: DownloadState.CANCELLED });
  const kept = await read(held);
  expect(kept).toMatchObject({ state: DownloadState.PAUSED, priority: -2, rateLimit: BigInt(64 * MIB) });
  expect(kept?.progress?.completedBytes).toBeGreaterThan(0n);
  const sent = origin.bytesOf("/held");
  await models.resumeDownload({ downloadId: held });
  await killService();
  models = await start();
  for await (const { progress } of models.watchDownload({ downloadId: held })) {
    expect(progress?.state).not.toBe(DownloadState.PAUSED);
  }
  const { version } = await models.getVersion({ modelRef: "held" });
  expect(version?.files[0]?.digest).toBe(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
  // What was here when it was held did not come again.
  expect(origin.bytesOf("/held") - sent).toBeLessThan(bytes.length);
}, 90_000);
