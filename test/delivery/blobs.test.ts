import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir, readlink } from "node:fs/promises";
import * as http from "node:http";
import * as http2 from "node:http2";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestService, type TestService } from "../support/service.ts";
import { digestOf, put, send } from "../uploads/http.ts";

let service: TestService;
let url: string;
const bytes = randomBytes(20_000_000);
const etag = `"${digestOf(bytes)}"`;

beforeAll(async () => {
  service = await startTestService();
  url = `${service.url}/blobs/${digestOf(bytes)}`;
  await put(service.url, bytes);
});

afterAll(async () => {
  await service?.stop();
});

describe("GET of a blob", () => {
  it("gives the whole blob, for ever to be cached", async () => {
    const { status, headers, body } = await send(url);
    expect({ status, same: body.equals(bytes) }).toEqual({ status: 200, same: true });
    expect(headers).toMatchObject({
      etag,
      "content-length": "20000000",
      "content-type": "application/octet-stream",
      "accept-ranges": "bytes",
      "cache-control": expect.stringContaining("immutable"),
    });
    const head = await send(url, { method: "HEAD" });
    expect(head).toMatchObject({ status: 200, headers: { etag, "content-length": "20000000" } });
    expect(head.body).toHaveLength(0);
  });

  it.each([
    ["bytes=0-0", 0, 1],
    ["bytes=100-199", 100, 200],
    ["bytes=19999990-", 19_999_990, 20_000_000],
    ["bytes=-5", 19_999_995, 20_000_000],
    ["bytes=19999999-30000000", 19_999_999, 20_000_000],
    ["bytes=-30000000", 0, 20_000_000],
  ])("gives the range %s", async (range, start, end) => {
    const { status, headers, body } = await send(url, { headers: { range } });
    expect({ status, range: headers["content-range"], same: body.equals(bytes.subarray(start, end)) }).toEqual({
      status: 206,
      range: `bytes ${start}-${end - 1}/20000000`,
      same: true,
    });
  });

  it("refuses a range that is not there, and passes over what is none", async () => {
    for (const range of ["bytes=20000000-", "bytes=-0"]) {
      const { status, headers } = await send(url, { headers: { range } });
      expect({ range, status, there: headers["content-range"] }).toEqual({
        range,
        status: 416,
        there: "bytes */20000000",
      });
    }
    for (const range of ["bytes=5-3", "bytes=a-b", "bytes=0-1,5-6", "items=0-1"]) {
      expect(await send(url, { method: "GET", headers: { range } })).toMatchObject({ status: 200 });
    }
  });

  it("knows what a client has already", async () => {
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const { status, body } = await send(url, { headers: { "if-none-match": known } });
      expect({ known, status, length: body.length }).toEqual({ known, status: 304, length: 0 });
    }
    expect(await send(url, { headers: { "if-none-match": '"other"' } })).toMatchObject({ status: 200 });
    const range = "bytes=0-9";
    expect(await send(url, { headers: { range, "if-range": etag } })).toMatchObject({ status: 206 });
    expect(await send(url, { headers: { range, "if-range": '"other"' } })).toMatchObject({ status: 200 });
  });

  it("says what it does not have", async () => {
    const missing = await send(`${service.url}/blobs/${digestOf(randomBytes(1))}`);
    expect(missing.status).toBe(404);
    expect(missing.json()).toMatchObject({ code: "not_found", details: [{ debug: { reason: "BLOB_NOT_FOUND" } }] });
    expect(await send(`${service.url}/blobs/latest`)).toMatchObject({ status: 400 });
  });

  it("speaks HTTP/2", async () => {
    const session = http2.connect(service.url);
    const stream = session.request({ ":path": new URL(url).pathname, range: "bytes=1000000-5999999" });
    const [headers] = await once(stream, "response");
    expect(headers[":status"]).toBe(206);
    expect((await buffer(stream)).equals(bytes.subarray(1_000_000, 6_000_000))).toBe(true);
    session.close();
  });

  it.skipIf(process.platform !== "linux")("closes the file when the client goes away", async () => {
    const request = http.get(url);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    await once(response, "data");
    expect(await openBlobs()).toBeGreaterThan(0);
    request.destroy();
    while ((await openBlobs()) > 0) {
      // The service hears of it when the connection's end arrives.
    }
  });
});

/** How many of the store's blobs this process has open. */
async function openBlobs(): Promise<number> {
  const targets = await Promise.all(
    (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")),
  );
  return targets.filter((target) => target.startsWith(service.data) && target.includes("/blobs/")).length;
}
