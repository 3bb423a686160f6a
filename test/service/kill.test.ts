import { createHash, randomBytes } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { ModelStatus, ModelType } from "../../gen/modelmanager/v1/model_pb.ts";
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
  await kill("SIGKILL");
  await expect.poll(() => processesBelow(data), { timeout: 10_000 }).toEqual([]);
  await origin.close();
  await rm(data, { recursive: true, force: true });
});

async function start() {
  service = await startServiceProcess({
    MODEL_MANAGER_DATA: data,
    MODEL_MANAGER_ALLOW_NETWORKS: "127.0.0.0/8",
    MODEL_MANAGER_MAX_DOWNLOADS: "8",
  });
  return createClient(ModelService, createGrpcTransport({ baseUrl: service.url }));
}

/** Kills the service, and if `database` is given its postgres with it. */
async function kill(signal: NodeJS.Signals, database = false): Promise<void> {
  if (!service) return;
  const children = database ? processesBelow(data).filter((pid) => pid !== service?.pid) : [];
  service.kill(signal);
  for (const pid of children) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended with its parent.
    }
  }
  await service.exited;
  service = undefined;
}

/** Every blob in the store hashes to its name, and there is nothing else beside them. */
function expectHonestStore(): Set<string> {
  const blobs = globSync("store/blobs/sha256/*/*", { cwd: data });
  for (const blob of blobs) {
    const hash = createHash("sha256")
      .update(readFileSync(join(data, blob)))
      .digest("hex");
    expect(hash).toBe(basename(blob));
  }
  return new Set(blobs.map((blob) => `sha256:${basename(blob)}`));
}

describe("kill -9", () => {
  it.each([{ database: false }, { database: true }])(
    "in the middle of a big download, it continues where it was (database too: $database)",
    async ({ database }) => {
      const bytes = randomBytes(48 * MIB);
      const url = origin.serve("/big.bin", bytes, { bytesPerSecond: 16 * MIB });
      let models = await start();
      const source = { kind: { case: "http" as const, value: { files: [{ url }] } } };
      await models.createModel({ model: { id: "big", type: ModelType.LLM, source } });
      const { download } = await models.startDownload({ modelId: "big" });
      const downloadId = download?.id ?? "";
      for (let round = 0; round < 3; round += 1) {
        const before = (await models.getDownload({ downloadId })).download?.progress?.completedBytes ?? 0n;
        await expect
          .poll(async () => (await models.getDownload({ downloadId })).download?.progress?.completedBytes, {
            timeout: 30_000,
          })
          .toBeGreaterThan(before + BigInt(8 * MIB));
        await kill("SIGKILL", database);
        models = await start();
        expect((await models.listVersions({ modelId: "big" })).versions).toEqual([]);
      }
      const states: DownloadState[] = [];
      for await (const { progress } of models.watchDownload({ downloadId })) {
        if (progress) states.push(progress.state);
      }
      expect(states.at(-1)).toBe(DownloadState.SUCCEEDED);
      const { version } = await models.getVersion({ modelRef: "big" });
      expect(version?.files[0]?.digest).toBe(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
      expectHonestStore();
      const sent = origin.requests.reduce((sum, request) => sum + request.sent, 0);
      expect(sent).toBeLessThan(2 * bytes.length);
      expect(globSync("store/parts/**/*", { cwd: data })).toEqual([]);
    },
    120_000,
  );

  it("at any moment of many small downloads, every model ends with one whole version", async () => {
    const count = 40;
    const ids = Array.from({ length: count }, (_, index) => `small-${index}`);
    let models = await start();
    for (const id of ids) {
      const files = [0, 1, 2].map((file) => ({ url: origin.serve(`/${id}/${file}`, randomBytes(20_000)) }));
      const source = { kind: { case: "http" as const, value: { files } } };
      await models.createModel({ model: { id, type: ModelType.LLM, source } });
      await models.startDownload({ modelId: id });
    }
    for (let round = 0; round < 4; round += 1) {
      await sleep(60 + Math.random() * 500);
      await kill("SIGKILL", round % 2 === 1);
      models = await start();
      const stored = expectHonestStore();
      for (const { id, latestVersion } of (await models.listModels({ pageSize: 1000 })).models) {
        if (latestVersion === undefined) continue;
        const { version } = await models.getVersion({ modelRef: id });
        expect(version?.files.every(({ digest }) => stored.has(digest))).toBe(true);
      }
    }
    await expect
      .poll(async () => (await models.listModels({ filter: "status = AVAILABLE" })).totalSize, { timeout: 60_000 })
      .toBe(BigInt(count));
    for (const id of ids) {
      expect((await models.listVersions({ modelId: id })).versions).toHaveLength(1);
      expect((await models.getModel({ modelRef: id })).model?.status).toBe(ModelStatus.AVAILABLE);
    }
  }, 180_000);
});
