import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { failureOf } from "../../src/domain/failure.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { silent } from "../sources/helpers.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { type Cluster, createCluster, downloadOf, running, watchUntil } from "./support/service.ts";

const MiB = 1024 * 1024;
const MINUTE = 60_000;
vi.setConfig({ testTimeout: 60_000 });

let origin: TestOrigin;
let cluster: Cluster;

beforeAll(async () => {
  [origin, cluster] = await Promise.all([startOrigin(), createCluster()]);
});
afterAll(async () => {
  await cluster.close();
  await origin.close();
});

/** The downloads that parts are kept for. */
async function owners(): Promise<Set<string>> {
  const names = await readdir(cluster.store.spoolDirectory, { recursive: true });
  return new Set(names.flatMap((name) => /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(name)?.[0] ?? []));
}

/** Runs a service whose clock is ahead, which sweeps when it starts, until its sweep has gone through. */
async function sweepLater(ms: number): Promise<void> {
  const swept = Promise.withResolvers<void>();
  const clock = { ...systemClock, date: () => new Date(Date.now() + ms) };
  const idle = await cluster.replica({
    clock,
    maxDownloads: 0,
    log: {
      ...silent,
      debug: (message) => {
        if (message === "left-over parts were swept") swept.resolve();
      },
    },
  });
  idle.start();
  await swept.promise;
  await idle.stop(1000);
}

it("parts go ten minutes after a download was cancelled or deleted, a day after it failed, and never before it ends", async () => {
  const service = await running(cluster);
  const begin = async (): Promise<{ id: string; modelId: string }> => {
    const url = origin.serve(`/${Math.random()}`, randomBytes(8 * MiB), { methods: ["GET"], stallAfter: 2 * MiB });
    const modelId = await cluster.model({ url, path: "file" });
    const { id } = await service.downloads.start(downloadOf(modelId));
    await watchUntil(service, id, ({ completedBytes }) => completedBytes > MiB);
    return { id, modelId };
  };
  const [cancelled, deleted, failed, paused] = [await begin(), await begin(), await begin(), await begin()];
  await service.downloads.cancel(cancelled.id);
  await service.downloads.pause(paused.id);
  await cluster.models.delete(deleted.modelId, { etag: "", force: true });
  await service.stop(5000);
  const [claimed] = await cluster.jobs.claim("somebody", 1, MINUTE);
  if (claimed === undefined) throw new Error("nothing to claim");
  await cluster.jobs.fail(claimed.lease, failureOf(new Error("for the test")), claimed.download.progress);

  const ids = (...of: { id: string }[]) => new Set(of.map(({ id }) => id));
  expect(await owners()).toEqual(ids(cancelled, deleted, failed, paused));
  await sweepLater(9 * MINUTE);
  expect(await owners()).toEqual(ids(cancelled, deleted, failed, paused));
  await sweepLater(11 * MINUTE);
  expect(await owners()).toEqual(ids(failed, paused));
  await sweepLater(25 * 60 * MINUTE);
  expect(await owners()).toEqual(ids(paused));
});
