import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Progress } from "../../src/domain/download.ts";
import type { DownloadsService } from "../../src/download/downloads.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { type Cluster, createCluster, downloadOf, watchAll, watchUntil } from "./support/service.ts";

const MiB = 1024 * 1024;

let origin: TestOrigin;
let cluster: Cluster;
let served = 0;

beforeAll(async () => {
  [origin, cluster] = await Promise.all([startOrigin(), createCluster()]);
});
afterAll(async () => {
  await cluster.close();
  await origin.close();
});

/** A model of one file that takes seconds; how many bytes of it were sent so far. */
async function slowModel(size = 8 * MiB): Promise<{ modelId: string; sent: () => number }> {
  served += 1;
  const path = `/slow-${served}`;
  const bytes = randomBytes(size);
  const url = origin.serve(path, bytes, { methods: ["GET"], bytesPerSecond: 4 * MiB });
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const modelId = await cluster.model({ url, path: "file", sha256 });
  return { modelId, sent: () => origin.requestsOf(path).reduce((sum, { sent }) => sum + sent, 0) };
}

async function startAndWaitForBytes(service: DownloadsService, modelId: string, bytes = MiB): Promise<string> {
  const { id } = await service.downloads.start(downloadOf(modelId));
  await watchUntil(service, id, ({ completedBytes }) => completedBytes >= bytes);
  return id;
}

describe("a paused download", () => {
  it("moves no bytes, keeps its watchers, and goes on from where it was", async () => {
    const service = await cluster.replica();
    service.start();
    const { modelId, sent } = await slowModel();
    const id = await startAndWaitForBytes(service, modelId, 2 * MiB);
    const watching = watchAll(service, id);
    expect(await service.downloads.pause(id)).toMatchObject({ state: "PAUSED" });
    expect(await service.downloads.pause(id)).toMatchObject({ state: "PAUSED" });
    const paused = await watchUntil(service, id, ({ state }) => state === "PAUSED");
    expect(paused).toMatchObject({ bytesPerSecond: 0, etaMs: undefined });
    // What was under way has a second to stop.
    await expect.poll(() => origin.connections.open, { timeout: 1_500 }).toBe(0);
    const before = sent();
    expect(await cluster.jobs.claim("somebody", 10, 1000)).toEqual([]);
    expect(await service.downloads.resume(id)).toMatchObject({ state: "QUEUED" });
    const messages = await watching;
    expect(messages.at(-1)).toMatchObject({ state: "SUCCEEDED", version: 1 });
    expect(messages.map(({ state }) => state)).toContain("PAUSED");
    expectMonotonic(messages);
    expect(before).toBeLessThan(8 * MiB);
    expect(sent()).toBeLessThan(10 * MiB);
    await service.stop(1000);
  });

  it("stays paused over a restart, and can be cancelled", async () => {
    const first = await cluster.replica();
    first.start();
    const { modelId } = await slowModel();
    const id = await startAndWaitForBytes(first, modelId);
    await first.downloads.pause(id);
    await first.stop(1000);
    const second = await cluster.replica();
    second.start();
    expect(await second.downloads.get(id)).toMatchObject({ state: "PAUSED" });
    const joined = await second.downloads.start(downloadOf(modelId));
    expect(joined).toMatchObject({ id, state: "PAUSED" });
    expect(await second.downloads.cancel(id)).toMatchObject({ state: "CANCELLED" });
    for (const act of ["pause", "resume"] as const) {
      await expect(second.downloads[act](id)).rejects.toMatchObject({ reason: "STATE_INVALID" });
    }
    await second.stop(1000);
  });

  it("is paused within a second by a replica that does not own it", async () => {
    const owner = await cluster.replica();
    owner.start();
    const other = await cluster.replica();
    const { modelId } = await slowModel();
    const id = await startAndWaitForBytes(owner, modelId);
    const watching = watchUntil(owner, id, ({ state }) => state === "PAUSED");
    await other.downloads.pause(id);
    await watching;
    await other.downloads.cancel(id);
    await owner.stop(1000);
  });
});

describe("a failed download", () => {
  it("is revived under the same id", async () => {
    const service = await cluster.replica();
    service.start();
    served += 1;
    const bytes = randomBytes(MiB);
    const path = `/refused-${served}`;
    const url = origin.serve(path, bytes, { status: 403 });
    const modelId = await cluster.model({ url, path: "file" });
    const { id } = await service.downloads.start(downloadOf(modelId));
    expect((await watchAll(service, id)).at(-1)).toMatchObject({ state: "FAILED" });
    expect(await cluster.models.get(modelId)).toMatchObject({ status: "FAILED" });
    origin.behave(path, {});
    const resumed = await service.downloads.resume(id);
    expect(resumed).toMatchObject({ id, state: "QUEUED", error: undefined, endTime: undefined });
    expect(await cluster.models.get(modelId)).toMatchObject({ status: "DOWNLOADING" });
    expect((await watchAll(service, id)).at(-1)).toMatchObject({ state: "SUCCEEDED", version: 1 });
    await service.stop(1000);
  });

  it("stays failed while another one gets the same files", async () => {
    const service = await cluster.replica();
    service.start();
    const { modelId } = await slowModel();
    served += 1;
    const id = await startAndWaitForBytes(service, modelId);
    await service.stop(1000);
    const [claimed] = await cluster.jobs.claim("somebody", 1, 60_000);
    if (claimed === undefined) throw new Error("nothing to claim");
    const failure = { reason: "SOURCE_UNAVAILABLE", message: "away", metadata: {} } as const;
    await cluster.jobs.fail(claimed.lease, failure, claimed.download.progress);
    const rival = await cluster.jobs.start(downloadOf(modelId));
    expect(rival.created).toBe(true);
    await expect(service.downloads.resume(id)).rejects.toMatchObject({
      reason: "OPERATION_CONFLICT",
      metadata: { download_id: rival.download.id },
    });
    await cluster.jobs.cancel(rival.download.id);
  });
});

describe("a live download", () => {
  it("has its priority and its rate limit changed while it runs", async () => {
    const service = await cluster.replica();
    service.start();
    served += 1;
    const url = origin.serve(`/limited-${served}`, randomBytes(4 * MiB), { methods: ["GET"] });
    const modelId = await cluster.model({ url, path: "file" });
    const { id } = await service.downloads.start(downloadOf(modelId, { rateLimit: 64 * 1024 }));
    await watchUntil(service, id, ({ state }) => state === "TRANSFERRING");
    expect(await service.downloads.update(id, { priority: 5 })).toMatchObject({ priority: 5, rateLimit: 64 * 1024 });
    // At 64 KiB a second it would take a minute more.
    const other = await cluster.replica();
    const lifted = await other.downloads.update(id, { rateLimit: null });
    expect(lifted).toMatchObject({ priority: 5, rateLimit: undefined });
    expect((await watchAll(service, id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
    await expect(service.downloads.update(id, { priority: 1 })).rejects.toMatchObject({ reason: "STATE_INVALID" });
    await service.stop(1000);
  });
});

function expectMonotonic(messages: readonly Progress[]): void {
  for (const [index, message] of messages.entries()) {
    const before = messages[index - 1];
    if (before?.attempt !== message.attempt) continue;
    expect(message.completedBytes).toBeGreaterThanOrEqual(before.completedBytes);
  }
}
