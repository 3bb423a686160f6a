import { execFile, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import * as http from "node:http";
import * as http2 from "node:http2";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ModelType } from "../../gen/modelmanager/v1/model_pb.ts";
import { createModelManagerClient, type ModelManagerClient } from "../../src/client/index.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { ask, digestOf, put, send } from "./http.ts";

const hasCurl = spawnSync("curl", ["--version"]).status === 0;
if (!hasCurl) console.log("skipped: uploads by curl, which is not installed");

let service: TestService;
let client: ModelManagerClient;

beforeAll(async () => {
  service = await startTestService();
  client = createModelManagerClient(service.url);
});

afterAll(async () => {
  client?.close();
  await service?.stop();
});

/** The files of uploads that have not come to their end. */
async function leftOvers(): Promise<string[]> {
  const folder = join(service.data, "store", "parts", "uploads");
  return existsSync(folder) ? await readdir(folder) : [];
}

/** Asks until so many bytes of a blob are there: what was sent arrives when it arrives. */
async function untilKept(bytes: Buffer, kept: number): Promise<void> {
  for (;;) {
    const { headers } = await ask(service.url, digestOf(bytes), bytes.length);
    if (headers.range === `bytes=0-${kept - 1}`) return;
  }
}

describe("PUT of a blob", () => {
  it("takes it whole: 201, then 200, and gives it back", async () => {
    const bytes = randomBytes(3_000_000);
    expect(await put(service.url, bytes)).toMatchObject({ status: 201 });
    const again = await put(service.url, bytes);
    expect(again.status).toBe(200);
    expect(again.json()).toEqual({ digest: digestOf(bytes), size: bytes.length });
    expect((await send(`${service.url}/blobs/${digestOf(bytes)}`)).body.equals(bytes)).toBe(true);
    expect(await put(service.url, Buffer.alloc(0))).toMatchObject({ status: 201 });
    expect(await leftOvers()).toEqual([]);
  });

  it("takes it in pieces, and tells how far it is", async () => {
    const bytes = randomBytes(2_500_000);
    const digest = digestOf(bytes);
    const none = await ask(service.url, digest, bytes.length);
    expect({ status: none.status, range: none.headers.range }).toEqual({ status: 308, range: undefined });
    const first = await put(service.url, bytes, { start: 0, end: 1_000_001 });
    expect({ status: first.status, range: first.headers.range }).toEqual({ status: 308, range: "bytes=0-1000000" });
    const gap = await put(service.url, bytes, { start: 2_000_000, end: 2_500_000 });
    expect({ status: gap.status, range: gap.headers.range }).toEqual({ status: 416, range: "bytes=0-1000000" });
    expect(gap.json()).toMatchObject({
      code: "out_of_range",
      details: [{ debug: { reason: "RANGE_NOT_SATISFIABLE" } }],
    });
    const asked = await ask(service.url, digest, bytes.length);
    expect({ status: asked.status, range: asked.headers.range }).toEqual({ status: 308, range: "bytes=0-1000000" });
    expect(await send(`${service.url}/blobs/${digest}`)).toMatchObject({ status: 404 });
    expect(await put(service.url, bytes, { start: 1_000_001, end: 2_500_000 })).toMatchObject({ status: 201 });
    expect(await ask(service.url, digest, bytes.length)).toMatchObject({ status: 200 });
    expect(await leftOvers()).toEqual([]);
  });

  it("keeps nothing of bytes that have another digest: 422", async () => {
    const bytes = randomBytes(1_500_000);
    const digest = digestOf(randomBytes(1));
    const answer = await put(service.url, bytes, undefined, digest);
    expect(answer.status).toBe(422);
    expect(answer.json()).toMatchObject({
      code: "data_loss",
      details: [{ debug: { reason: "CONTENT_MISMATCH", metadata: { actual_digest: digestOf(bytes) } } }],
    });
    expect(await send(`${service.url}/blobs/${digest}`)).toMatchObject({ status: 404 });
    expect(await leftOvers()).toEqual([]);
  });

  it("refuses heads that make no sense: 400", async () => {
    const bytes = randomBytes(10);
    const digest = digestOf(bytes);
    for (const range of [
      "bytes 0-9/*",
      "bytes 5-3/10",
      "bytes 0-10/10",
      "items 0-9/10",
      "bytes 0-4/10",
      "bytes */10",
    ]) {
      const headers = { "content-range": range, "content-length": bytes.length };
      const answer = await send(`${service.url}/blobs/${digest}`, { method: "PUT", headers, body: bytes });
      expect({ range, status: answer.status }).toEqual({ range, status: 400 });
      expect(answer.json().message).toMatch(/^content-range: must /);
    }
    for (const name of ["sha256:abc", digest.toUpperCase(), "md5:0", ""]) {
      expect(await send(`${service.url}/blobs/${name}`, { method: "PUT", body: bytes })).toMatchObject({ status: 400 });
    }
    const deleted = await send(`${service.url}/blobs/${digest}`, { method: "DELETE" });
    expect(deleted).toMatchObject({ status: 405, headers: { allow: "GET, HEAD, PUT" } });
  });

  it("refuses a body longer or shorter than its piece, and goes on behind what was right", async () => {
    const bytes = randomBytes(1_000);
    const url = `${service.url}/blobs/${digestOf(bytes)}`;
    const chunked = { "content-range": "bytes 0-499/1000", "transfer-encoding": "chunked" };
    const long = await send(url, { method: "PUT", headers: chunked, body: bytes });
    expect({ status: long.status, code: long.json().code }).toEqual({ status: 400, code: "invalid_argument" });
    expect((await ask(service.url, digestOf(bytes), 1_000)).headers.range).toBeUndefined();
    const short = await send(url, { method: "PUT", headers: chunked, body: bytes.subarray(0, 300) });
    expect(short.status).toBe(400);
    expect((await ask(service.url, digestOf(bytes), 1_000)).headers.range).toBe("bytes=0-299");
    expect(await put(service.url, bytes, { start: 300, end: 1_000 })).toMatchObject({ status: 201 });
  });

  it("goes on where a connection was cut, and takes one client at a time", async () => {
    const bytes = randomBytes(3_000_000);
    const cut = http.request(`${service.url}/blobs/${digestOf(bytes)}`, {
      method: "PUT",
      headers: { "content-length": bytes.length },
    });
    cut.on("error", () => {});
    cut.write(bytes.subarray(0, 2_000_000));
    await untilKept(bytes, 2_000_000);
    const second = await put(service.url, bytes);
    expect({ status: second.status, code: second.json().code }).toEqual({ status: 409, code: "aborted" });
    cut.destroy();
    let answer = second;
    while (answer.status === 409) answer = await put(service.url, bytes, { start: 2_000_000, end: bytes.length });
    expect(answer.status).toBe(201);
    expect(await leftOvers()).toEqual([]);
  });

  it("speaks HTTP/2, where a stream that was cut is gone on with too", async () => {
    const bytes = randomBytes(3_000_000);
    const path = `/blobs/${digestOf(bytes)}`;
    const broken = http2.connect(service.url).on("error", () => {});
    const cut = broken.request({ ":method": "PUT", ":path": path }).on("error", () => {});
    cut.write(bytes.subarray(0, 1_000_000));
    await untilKept(bytes, 1_000_000);
    broken.destroy();
    const session = http2.connect(service.url);
    let status = 409;
    while (status === 409) {
      const range = `bytes 1000000-2999999/${bytes.length}`;
      const stream = session.request({ ":method": "PUT", ":path": path, "content-range": range });
      stream.end(bytes.subarray(1_000_000));
      const [headers] = await once(stream, "response");
      status = Number(headers[":status"]);
      await text(stream);
    }
    expect(status).toBe(201);
    session.close();
    expect(await leftOvers()).toEqual([]);
  });

  it.skipIf(!hasCurl)("lets curl send a file, and refuses it before its body where it can", async () => {
    const bytes = randomBytes(2_000_000);
    const file = join(service.data, "curl.bin");
    await writeFile(file, bytes);
    const curl = async (digest: string, ...args: string[]) => {
      const url = `${service.url}/blobs/${digest}`;
      const format = "%{http_code} %{size_upload}";
      const { stdout } = await promisify(execFile)("curl", [
        ...args,
        "-s",
        "-o",
        "/dev/null",
        "-w",
        format,
        "-T",
        file,
        url,
      ]);
      return stdout;
    };
    const expecting = ["-H", "Expect: 100-continue"];
    expect(await curl(digestOf(bytes), ...expecting)).toBe("201 2000000");
    expect(await curl("sha256:nothing", ...expecting)).toBe("400 0");
    const other = randomBytes(8);
    expect(await curl(digestOf(other), "--http2-prior-knowledge")).toMatch(/^422 /);
  });
});

describe("a blob that no version names yet", () => {
  it("is kept from collectors, until a version that named it is gone", async () => {
    const bytes = randomBytes(1_000);
    const digest = digestOf(bytes);
    await put(service.url, bytes);
    const collect = async () => (await client.models.collectGarbage({ grace: { seconds: 0n } })).blobs;
    expect(await collect()).toEqual([]);
    await client.models.createModel({
      model: { id: "kept", type: ModelType.LLM, source: { kind: { case: "upload", value: {} } } },
    });
    await client.models.createVersion({ modelId: "kept", files: [{ path: "a", digest }] });
    await client.models.deleteVersion({ modelId: "kept", version: 1 });
    expect((await collect()).map((blob) => blob.digest)).toEqual([digest]);
    expect(await send(`${service.url}/blobs/${digest}`, { method: "HEAD" })).toMatchObject({ status: 404 });
  });
});

describe("ImportModel", () => {
  it("makes nothing of a stream that is cut, and leaves nothing behind", async () => {
    const bytes = randomBytes(2_000_000);
    const digest = digestOf(bytes);
    await client.models.createModel({
      model: { id: "cut", type: ModelType.LLM, source: { kind: { case: "upload", value: {} } } },
    });
    const cut = new AbortController();
    async function* messages() {
      const value = { modelId: "cut", path: "a", size: BigInt(bytes.length), digest };
      yield { part: { case: "header" as const, value } };
      yield { part: { case: "chunk" as const, value: bytes.subarray(0, 1_500_000) } };
      await untilKept(bytes, 1_500_000);
      cut.abort();
    }
    await expect(client.models.importModel(messages(), { signal: cut.signal })).rejects.toThrow();
    while ((await leftOvers()).length > 0) {
      // The service hears of it when the stream's end arrives.
    }
    expect(await send(`${service.url}/blobs/${digest}`)).toMatchObject({ status: 404 });
    const { model } = await client.models.getModel({ modelRef: "cut" });
    expect(model).toMatchObject({ versionCount: 0 });
  });
});
