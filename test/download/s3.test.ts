import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { DownloadsService } from "../../src/download/downloads.ts";
import { createS3Store, type S3Store } from "../../src/store/s3/s3-store.ts";
import { silent } from "../sources/helpers.ts";
import { keysBelow, putObject, withoutAwsEnvironment } from "../support/s3-objects.ts";
import { S3_KEY, type S3Server, startS3Server } from "../support/s3-server.ts";
import { type Cluster, createCluster, download, downloadOf, watchAll } from "./support/service.ts";

const MiB = 1024 * 1024;

withoutAwsEnvironment();

let server: S3Server;
let cluster: Cluster;
let store: S3Store;
let service: DownloadsService;
let spoolDirectory: string;

beforeAll(async () => {
  spoolDirectory = await mkdtemp(join(os.tmpdir(), "s3-downloads-"));
  [server, cluster] = await Promise.all([startS3Server("models", "blobs"), createCluster()]);
  const location = { bucket: "blobs", prefix: "", endpoint: server.endpoint, region: "us-east-1", accessKey: S3_KEY };
  store = await createS3Store({ ...location, spoolDirectory, log: silent });
  service = await cluster.replica({ store });
  service.start();
});
afterAll(async () => {
  await service.stop(1000);
  store.close();
  await cluster.close();
  await server.close();
  await rm(spoolDirectory, { recursive: true });
});
afterEach(() => {
  server.intercept = undefined;
});

async function modelOf(name: string): Promise<string> {
  const source = {
    kind: "s3",
    uri: `s3://models/${name}/`,
    endpoint: server.endpoint,
    region: "",
    credential: "",
  } as const;
  const rest = { type: "LLM", displayName: "", description: "", labels: {}, baseModelId: "" } as const;
  return (await cluster.models.create({ id: name, ...rest, source }, {})).id;
}

const put = (key: string, bytes: Uint8Array) => putObject(server.client, "models", key, bytes);

it("goes from one bucket into another, by many connections and through the spool folder", async () => {
  const [weights, config] = [randomBytes(12 * MiB), randomBytes(2000)];
  await put("whole/model.safetensors", weights);
  await put("whole/config.json", config);
  const { last } = await download(service, await modelOf("whole"));
  expect(last).toMatchObject({ state: "SUCCEEDED", version: 1, sourceBytes: weights.length + config.length });
  const version = await cluster.models.getVersion({ modelId: "whole", version: 1 });
  expect(version.resolvedRevision).toMatch(/^[0-9a-f]{64}$/);
  for (const { path, digest } of version.files ?? []) {
    const expected = path === "config.json" ? config : weights;
    expect((await buffer(await store.read(digest))).equals(expected), path).toBe(true);
  }
  expect(await keysBelow(server.client, "blobs", "blobs/sha256/")).toHaveLength(2);
  expect(await readdir(spoolDirectory)).toEqual([]);
  const ranged = server.requests.filter((line) => line.includes("X-Amz-Signature=") || line.includes("x-id=GetObject"));
  expect(ranged.length).toBeGreaterThan(1);
});

it("ends when an object is changed in the middle, and takes what is there when it is asked for again", async () => {
  const [old, recent] = [randomBytes(12 * MiB), randomBytes(12 * MiB)];
  await put("changing/model.safetensors", old);
  let cut = false;
  const changed = Promise.withResolvers<void>();
  server.intercept = ({ method, url = "" }, response) => {
    if (cut || method !== "GET" || !url.startsWith("/models/changing/model")) return false;
    cut = true;
    const write = response.write.bind(response);
    let sent = 0;
    response.write = ((chunk: Buffer) => {
      sent += chunk.length;
      if (sent < MiB) return write(chunk);
      if (sent - chunk.length < MiB) {
        put("changing/model.safetensors", recent).then(() => {
          response.destroy();
          changed.resolve();
        }, changed.reject);
      }
      return false;
    }) as typeof response.write;
    return false;
  };
  const modelId = await modelOf("changing");
  const { id } = await service.downloads.start(downloadOf(modelId));
  const [messages] = await Promise.all([watchAll(service, id), changed.promise]);
  expect(messages.at(-1)).toMatchObject({ state: "FAILED", error: { reason: "SOURCE_REVISION_NOT_FOUND" } });
  expect((await download(service, modelId)).last).toMatchObject({ state: "SUCCEEDED", version: 1 });
  const { files = [] } = await cluster.models.getVersion({ modelId, version: 1 });
  const [file] = files;
  if (file === undefined) throw new Error("no file");
  expect((await buffer(await store.read(file.digest))).equals(recent)).toBe(true);
});
