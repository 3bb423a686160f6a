import { createHash, randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { DownloadJobs } from "../../src/domain/ports/download-jobs.ts";
import { type Clock, systemClock } from "../../src/lib/clock.ts";
import { digestOf } from "../store/contract.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { type Cluster, createCluster, downloadOf, running, watchAll, watchUntil } from "./support/service.ts";

const MiB = 1024 * 1024;
const HOUR = 3600_000;
vi.setConfig({ testTimeout: 120_000 });

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

async function model(size: number, behavior: Parameters<TestOrigin["serve"]>[2]) {
  served += 1;
  const bytes = randomBytes(size);
  const url = origin.serve(`/owned-${served}`, bytes, { methods: ["GET"], ...behavior });
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { bytes, modelId: await cluster.model({ url, path: "file", sha256 }) };
}

/** The record as a stopped process sees it: no call gets through until it goes on. */
function stoppable(jobs: DownloadJobs) {
  let stopped: PromiseWithResolvers<void> | undefined;
  const refusals: unknown[] = [];
  const gated = Object.entries(jobs).map(([name, call]: [string, (...args: never[]) => Promise<unknown>]) => [
    name,
    async (...args: never[]) => {
      await stopped?.promise;
      const answer = call(...args);
      return answer.catch((error: unknown) => {
        refusals.push(error);
        throw error;
      });
    },
  ]);
  return {
    jobs: Object.fromEntries(gated) as DownloadJobs,
    refusals,
    stop: () => {
      stopped = Promise.withResolvers();
    },
    goOn: () => stopped?.resolve(),
  };
}

async function expectOneHonestVersion(modelId: string, bytes: Buffer): Promise<void> {
  const { items } = await cluster.models.listVersions(modelId, { size: 10, token: "" });
  expect(items.map(({ version }) => version)).toEqual([1]);
  expect(await buffer(await cluster.store.read(digestOf(bytes)))).toEqual(bytes);
}

describe("an owner that stood still for longer than its lease", () => {
  const timing = { leaseMs: 1000 };

  it("stops when it goes on, while another one has its download", async () => {
    const process = stoppable(cluster.jobs);
    const first = await running(cluster, { jobs: process.jobs, timing });
    // The one that it reads is slow, the next one is not: its bytes still come when the other one has finished.
    const { modelId, bytes } = await model(4 * MiB, { bytesPerSecond: MiB, times: 1 });
    const { id } = await first.downloads.start(downloadOf(modelId));
    await watchUntil(first, id, ({ completedBytes }) => completedBytes > MiB / 2);
    process.stop();
    const second = await running(cluster, { timing });
    expect((await watchAll(second, id)).at(-1)).toMatchObject({ state: "SUCCEEDED", version: 1, attempt: 2 });
    const watching = watchAll(first, id);
    process.goOn();
    expect((await watching).at(-1)).toMatchObject({ state: "SUCCEEDED", version: 1 });
    await expect.poll(() => first.reservedBytes()).toBe(0);
    await expectOneHonestVersion(modelId, bytes);
    expect(await cluster.jobs.get(id)).toMatchObject({ state: "SUCCEEDED", version: 1 });
  });

  it("does not publish what another one has published", async () => {
    const process = stoppable(cluster.jobs);
    const publish: DownloadJobs["publish"] = (lease, publication) => {
      process.stop();
      return process.jobs.publish(lease, publication);
    };
    const first = await running(cluster, { jobs: { ...process.jobs, publish }, timing });
    const { modelId, bytes } = await model(MiB, {});
    const { id } = await first.downloads.start(downloadOf(modelId));
    await watchUntil(first, id, ({ state }) => state === "VERIFYING");
    const second = await running(cluster, { timing });
    expect((await watchAll(second, id)).at(-1)).toMatchObject({ state: "SUCCEEDED", version: 1 });
    process.goOn();
    await expect.poll(() => process.refusals).toContainEqual(expect.objectContaining({ reason: "LEASE_STALE" }));
    await expectOneHonestVersion(modelId, bytes);
  });
});

describe("when the clock of a machine is set", () => {
  it.each([-3 * HOUR, 5 * HOUR])("by %d ms, a download goes on as before", async (jump) => {
    let offset = 0;
    const clock: Clock = { ...systemClock, date: () => new Date(Date.now() + offset) };
    const owner = await running(cluster, { clock, rateLimit: 2 * MiB });
    // Not started, so that it cannot take the download, without that limit.
    const other = await cluster.replica();
    const { modelId, bytes } = await model(12 * MiB, {});
    const { id } = await owner.downloads.start(downloadOf(modelId));
    await watchUntil(owner, id, ({ state }) => state === "TRANSFERRING");
    const begin = performance.now();
    const before = await watchUntil(other, id, ({ completedBytes }) => completedBytes > MiB);
    offset = jump;
    // Others still see it grow, at the rate that was set.
    const after = await watchUntil(other, id, ({ completedBytes }) => completedBytes > before.completedBytes + MiB);
    expect(after).toMatchObject({ state: "TRANSFERRING", attempt: 1 });
    expect(after.etaMs).toBeLessThan(10_000);
    expect((await watchAll(owner, id)).at(-1)).toMatchObject({ state: "SUCCEEDED", attempt: 1 });
    const seconds = (performance.now() - begin) / 1000;
    expect(bytes.length / seconds).toBeLessThan(1.05 * 2 * MiB);
    // Six by the limit; more only where the machine is busy.
    expect(seconds).toBeLessThan(30);
    await expectOneHonestVersion(modelId, bytes);
  });

  it("a wait after a failure is as long as before", async () => {
    let offset = 0;
    const clock: Clock = { ...systemClock, date: () => new Date(Date.now() + offset) };
    const owner = await running(cluster, { clock, timing: { sourceBackoff: { baseMs: 600, maxMs: 600 } } });
    const { modelId } = await model(1000, { status: 503, times: 2 });
    const { id } = await owner.downloads.start(downloadOf(modelId));
    await watchUntil(owner, id, ({ waiting }) => waiting !== undefined);
    offset = -3 * HOUR;
    const begin = performance.now();
    expect((await watchAll(owner, id)).at(-1)).toMatchObject({ state: "SUCCEEDED" });
    expect(performance.now() - begin).toBeLessThan(6000);
  });
});
