import { afterAll, beforeAll, expect, test } from "vitest";
import type { Failure } from "../../src/domain/failure.ts";
import type { Claimable, ClaimedDownload } from "../../src/domain/ports/download-jobs.ts";
import { newModel, openRegistry, progress, startAndClaim, type TestRegistry } from "./open-registry.ts";

const waiting: Failure = { reason: "DISK_FULL", message: "no room", metadata: {} };

let registry: TestRegistry;
beforeAll(async () => {
  registry = await openRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

/** A download that was parked for want of 100 bytes. */
async function parked(modelId: string, waitMs = 0): Promise<ClaimedDownload> {
  await registry.models.create(newModel(modelId), {});
  const claimed = await startAndClaim(registry, modelId);
  const told = progress(claimed.lease.downloadId, { completedBytes: 5, bytesPerSecond: 9, etaMs: 9, waiting });
  await registry.jobs.release(claimed.lease, told, { bytes: 100, waitMs, parkings: 3 });
  return claimed;
}

async function claim(among?: Claimable): Promise<ClaimedDownload[]> {
  return registry.jobs.claim("somebody", 10, 60_000, among);
}

async function cancel(downloadId: string): Promise<void> {
  await registry.jobs.cancel(downloadId);
}

test("a parked download says why, and is claimed only where there is room for it", async () => {
  const { lease } = await parked("parked/room");
  const { downloadId } = lease;
  const found = await registry.jobs.get(downloadId);
  expect(found).toMatchObject({
    state: "QUEUED",
    error: undefined,
    progress: { completedBytes: 5, bytesPerSecond: 0 },
  });
  expect(found.progress.waiting).toEqual(waiting);
  expect((await registry.jobs.readProgress([downloadId])).get(downloadId)?.waiting).toEqual(waiting);
  expect(await claim()).toEqual([]);
  expect(await claim({ roomBytes: 99 })).toEqual([]);
  expect(await claim({ roomBytes: -1 })).toEqual([]);
  expect(await claim({ roomBytes: 100 })).toMatchObject([{ lease: { downloadId }, parkings: 3 }]);
  // Whoever took it and was lost: it is no matter of room any more.
  await registry.sql`update downloads set lease_expire_time = now() where id = ${downloadId}`;
  expect(await claim()).toMatchObject([{ lease: { downloadId }, parkings: 3 }]);
  await cancel(downloadId);
  expect((await registry.jobs.get(downloadId)).progress.waiting).toBeUndefined();
});

test("it waits for its time, which a clock that was set back does not make endless", async () => {
  const { lease } = await parked("parked/time", 60_000);
  const { downloadId } = lease;
  expect(await claim({ roomBytes: 1000 })).toEqual([]);
  await registry.sql`update downloads set parked_until = now() + interval '3 hours' where id = ${downloadId}`;
  expect(await claim({ roomBytes: 1000 })).toHaveLength(1);
  await cancel(downloadId);
});

test("it can be held, and waits for nothing but its turn when it is let go", async () => {
  const { lease } = await parked("parked/paused", 60_000);
  const { downloadId } = lease;
  await registry.jobs.pause(downloadId);
  expect((await registry.jobs.get(downloadId)).progress.waiting).toBeUndefined();
  expect(await claim({ roomBytes: 1000 })).toEqual([]);
  const resumed = await registry.jobs.resume(downloadId);
  expect(resumed.progress).toMatchObject({ completedBytes: 5 });
  expect(resumed.progress.waiting).toBeUndefined();
  expect(await claim()).toMatchObject([{ lease: { downloadId }, parkings: 0 }]);
  await cancel(downloadId);
});

test("what a held download waited for is forgotten with what its owner told last", async () => {
  await registry.models.create(newModel("parked/told"), {});
  const { lease } = await startAndClaim(registry, "parked/told");
  await registry.jobs.saveProgress([{ lease, progress: progress(lease.downloadId, { completedBytes: 7, waiting }) }]);
  expect((await registry.jobs.get(lease.downloadId)).progress.waiting).toEqual(waiting);
  await registry.jobs.pause(lease.downloadId);
  // As a crash of the database does it.
  await registry.sql`truncate download_progress`;
  const { progress: resumed } = await registry.jobs.resume(lease.downloadId);
  expect([resumed.completedBytes, resumed.waiting]).toEqual([7, undefined]);
  await cancel(lease.downloadId);
});

test("a process does not take what it runs already, though its lease ran out, as when a clock is set", async () => {
  await registry.models.create(newModel("parked/own"), {});
  const { lease } = await startAndClaim(registry, "parked/own");
  const { downloadId } = lease;
  await registry.sql`update downloads set lease_expire_time = now() - interval '5 hours' where id = ${downloadId}`;
  expect(await claim({ running: [downloadId] })).toEqual([]);
  expect((await registry.jobs.renew([lease], 60_000)).size).toBe(1);
  expect(await claim()).toEqual([]);
  await registry.jobs.pause(downloadId);
  await registry.jobs.resume(downloadId);
  expect(await claim({ running: [downloadId] })).toMatchObject([{ lease: { downloadId } }]);
  await cancel(downloadId);
});

test("whether a token came with the call is remembered, and no more than that", async () => {
  await registry.models.create(newModel("parked/token"), {});
  const request = { modelId: "parked/token", revision: "", allowPatterns: [], ignorePatterns: [], priority: 0 };
  const { download } = await registry.jobs.start({ ...request, credential: { token: "s3cret" } });
  expect(await claim()).toMatchObject([{ lease: { downloadId: download.id }, withToken: true }]);
  const rows = await registry.sql`select * from downloads where id = ${download.id}`;
  expect(JSON.stringify(rows)).not.toContain("s3cret");
  await cancel(download.id);
});
