import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Progress } from "../../src/domain/download.ts";
import { DomainError } from "../../src/domain/errors.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { type Cluster, createCluster, download, downloadOf, running, watchAll, watchUntil } from "./support/service.ts";

const MiB = 1024 * 1024;
vi.setConfig({ testTimeout: 60_000 });
const LONG = { baseMs: 60_000, maxMs: 60_000 };
const waitsFor =
  (reason: string) =>
  ({ waiting }: Progress): boolean =>
    waiting?.reason === reason;

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

function serve(size: number, behavior: Parameters<TestOrigin["serve"]>[2]): { url: string; path: string } {
  served += 1;
  const path = `/waiting-${served}`;
  return { url: origin.serve(path, randomBytes(size), behavior), path };
}

/** The address of a server that is not there any more. */
async function nowhere(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}/file`;
}

describe("what a live download waits for is told", () => {
  it("while its source cannot be reached, here, elsewhere and in lists", async () => {
    const service = await running(cluster, { timing: { sourceBackoff: LONG } });
    const other = await cluster.replica();
    const modelId = await cluster.model({ url: await nowhere(), path: "a" });
    const begin = performance.now();
    const { id } = await service.downloads.start(downloadOf(modelId));
    const told = await watchUntil(service, id, waitsFor("SOURCE_UNAVAILABLE"));
    // A second by design; more only where the machine is busy.
    expect(performance.now() - begin).toBeLessThan(4000);
    expect(told).toMatchObject({ waiting: { message: expect.stringContaining("refuses the connection") } });
    await watchUntil(other, id, waitsFor("SOURCE_UNAVAILABLE"));
    const { items } = await other.downloads.list({ size: 100, token: "" });
    expect(items.find((item) => item.id === id)?.progress.waiting).toMatchObject({ reason: "SOURCE_UNAVAILABLE" });
    // The wait would last half a minute more.
    const watching = watchAll(service, id);
    await service.downloads.cancel(id);
    expect((await watching).at(-1)).toMatchObject({ state: "CANCELLED", waiting: undefined });
    expect((await service.downloads.get(id)).progress.waiting).toBeUndefined();
  });

  it("while its source is silent, long before that is a failure", async () => {
    const service = await running(cluster);
    const { url } = serve(MiB, { hang: true });
    const { id } = await service.downloads.start(downloadOf(await cluster.model({ url, path: "a" })));
    const begin = performance.now();
    const told = await watchUntil(service, id, ({ waiting }) => waiting !== undefined);
    expect(told.waiting?.message).toContain("has not answered yet");
    expect(performance.now() - begin).toBeLessThan(5000);
    await service.downloads.cancel(id);
  });

  it("while its bytes do not come, and not once they do", async () => {
    const service = await running(cluster, { timing: { sourceBackoff: { baseMs: 400, maxMs: 400 } } });
    const { url } = serve(MiB, { methods: ["GET"], status: 503, times: 2 });
    const { id } = await service.downloads.start(downloadOf(await cluster.model({ url, path: "a" })));
    const messages = await watchAll(service, id);
    const told = messages.find(({ waiting }) => waiting !== undefined);
    expect(told).toMatchObject({ waiting: { reason: "SOURCE_UNAVAILABLE", metadata: { http_status: "503" } } });
    expect(messages.at(-1)).toMatchObject({ state: "SUCCEEDED", waiting: undefined });
  });

  it("while the database is away", async () => {
    let isAway = true;
    const { jobs } = cluster;
    const service = await running(cluster, {
      jobs: {
        ...jobs,
        publish: async (lease, publication) => {
          if (isAway) throw new DomainError("DATABASE_UNAVAILABLE", "the database cannot be reached");
          return jobs.publish(lease, publication);
        },
      },
    });
    const { url } = serve(1000, {});
    const { id } = await service.downloads.start(downloadOf(await cluster.model({ url, path: "a" })));
    expect(await watchUntil(service, id, waitsFor("DATABASE_UNAVAILABLE"))).toMatchObject({ state: "VERIFYING" });
    isAway = false;
    expect((await watchAll(service, id)).at(-1)).toMatchObject({ state: "SUCCEEDED", waiting: undefined });
  });
});

describe("a token that came with the call", () => {
  it("is missed aloud after a restart", async () => {
    const first = await cluster.replica();
    const { url } = serve(MiB, { status: 401 });
    const modelId = await cluster.model({ url, path: "a" });
    const { id } = await first.downloads.start(downloadOf(modelId, { credential: { token: "s3cret" } }));
    await first.stop(1000);
    const second = await running(cluster);
    const last = (await watchAll(second, id)).at(-1);
    expect(last).toMatchObject({ state: "FAILED", error: { reason: "SOURCE_FORBIDDEN" } });
    expect(last?.error?.message).toContain("the token of the call that asked for it is gone");
    expect(last?.error?.message).not.toContain("s3cret");
    // Without one there is nothing to miss.
    const again = await download(second, modelId);
    expect(again.last.error?.message).not.toContain("gone");
  });
});

describe("a download that succeeded", () => {
  it("tells its files to whoever comes later", async () => {
    const service = await running(cluster);
    const modelId = await cluster.model({ url: serve(1000, {}).url, path: "b" }, { url: serve(10, {}).url, path: "a" });
    const { started } = await download(service, modelId);
    const [only, ...rest] = await watchAll(await cluster.replica(), started.id);
    expect(rest).toEqual([]);
    expect(only?.files).toEqual([
      { path: "a", state: "COMPLETE", completedBytes: 10, totalBytes: 10 },
      { path: "b", state: "COMPLETE", completedBytes: 1000, totalBytes: 1000 },
    ]);
  });
});
