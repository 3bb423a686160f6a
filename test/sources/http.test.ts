import { setDefaultCACertificates } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Sources, SourceUnavailable } from "../../src/domain/ports/sources.ts";
import { createAuthority } from "../support/certificates.ts";
import { type Behavior, startOrigin, type TestOrigin } from "../support/origin.ts";
import { bytes, bytesOf, failure, httpSource, named, open, originOf, request, testSources } from "./helpers.ts";

const BODY = bytes(300_000);
const OTHER = bytes(300_000, 7);

let origin: TestOrigin;
let sources: Sources;

beforeEach(async () => {
  origin = await startOrigin();
  sources = testSources({ timeouts: { connectMs: 300, headersMs: 300, stallMs: 300 } });
});

afterEach(async () => {
  await sources.close();
  await origin.close();
});

/** Serves the file with a behavior and answers its origin, resolved while it was still honest. */
async function served(behavior: Behavior = {}) {
  const url = origin.serve("/model.bin", BODY);
  const file = await originOf(sources, httpSource({ url }));
  origin.behave("/model.bin", { methods: ["GET"], ...behavior });
  return file;
}

const lastRange = () => origin.requestsOf("/model.bin").at(-1)?.headers.range;

describe("resolving", () => {
  it("lists the files with their sizes and digests", async () => {
    const sha256 = "AB".repeat(32);
    const resolved = await sources.resolve(
      httpSource(
        { url: origin.serve("/a.bin", BODY), path: "a.bin", sha256 },
        { url: origin.serve("/b.bin", BODY.subarray(5)), path: "sub/b.bin" },
      ),
      request(),
    );
    expect(resolved).toMatchObject({ revision: "", license: "" });
    expect(resolved.files).toMatchObject([
      {
        path: "a.bin",
        size: 300_000,
        digest: `sha256:${"ab".repeat(32)}`,
        origins: [{ host: `127.0.0.1:${origin.port}` }],
      },
      { path: "sub/b.bin", size: 299_995 },
    ]);
    expect(resolved.files[1]?.digest).toBeUndefined();
    expect(origin.requests.map(({ method }) => method)).toEqual(["HEAD", "HEAD"]);
    expect(origin.requests[0]?.headers).toMatchObject({
      "accept-encoding": "identity",
      "user-agent": "model-manager/test",
    });
  });

  it("names bytes by address and path, the same each time, without showing the address", async () => {
    const url = `${origin.serve("/a.bin", BODY)}?key=secret`;
    const identity = async (path: string) =>
      (await sources.resolve(httpSource({ url, path }), request())).files[0]?.identity ?? "";
    const first = await identity("a");
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await identity("a")).toBe(first);
    expect(await identity("b")).not.toBe(first);
  });

  it.each([403, 404, 405, 501])("asks for the first byte where HEAD is refused with %d", async (status) => {
    const url = origin.serve("/a.bin", BODY, { methods: ["HEAD"], status });
    const { files } = await sources.resolve(httpSource({ url }), request());
    expect(files[0]?.size).toBe(300_000);
    expect(origin.bytesOf("/a.bin")).toBe(1);
  });

  it("leaves a size unknown that the server does not say", async () => {
    const url = origin.serve("/a.bin", BODY, { ranges: "ignore", chunked: true });
    expect((await sources.resolve(httpSource({ url }), request())).files[0]?.size).toBeUndefined();
  });

  it("does not take the length of a compressed answer for the file's", async () => {
    const url = origin.serve("/a.bin", BODY, { gzip: true, headers: { "content-length": "77" }, methods: ["HEAD"] });
    expect((await sources.resolve(httpSource({ url }), request())).files[0]?.size).toBe(300_000);
  });

  it("knows the size of an empty file whose HEAD is refused", async () => {
    const url = origin.serve("/empty", Buffer.alloc(0), { methods: ["HEAD"], status: 405 });
    const file = await sources.resolve(httpSource({ url }), request());
    expect(file.files[0]?.size).toBe(0);
    expect(await bytesOf(open(await originOf(sources, httpSource({ url }))))).toHaveLength(0);
  });

  it("asks for a bounded number of sizes at once", async () => {
    let now = 0;
    let most = 0;
    const slow = await startOrigin({
      fallback(_, response) {
        most = Math.max(most, ++now);
        setTimeout(() => {
          now--;
          response.writeHead(200, { "content-length": 3 }).end();
        }, 20);
        return true;
      },
    });
    const files = Array.from({ length: 40 }, (_, index) => ({ url: `${slow.base}/${index}` }));
    expect((await sources.resolve(httpSource(...files), request())).files).toHaveLength(40);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(8);
    await slow.close();
  });

  it("takes the files that the request's patterns want", async () => {
    const source = httpSource(
      { url: origin.serve("/a", BODY), path: "a.bin" },
      { url: origin.serve("/b", BODY), path: "b.txt" },
    );
    const { files } = await sources.resolve(source, request({ ignorePatterns: ["*.txt"] }));
    expect(files.map(({ path }) => path)).toEqual(["a.bin"]);
    expect(origin.requestsOf("/b")).toEqual([]);
    const none = await failure(
      sources.resolve(source, request({ allowPatterns: ["*.gguf"] })),
      "SOURCE_FILE_NOT_FOUND",
    );
    expect(none.message).toContain("'*.gguf'");
  });

  it.each([
    [{ url: "ftp://example.com/a" }, "url"],
    [{ url: "file:///etc/passwd" }, "url"],
    [{ url: "no url" }, "url"],
    [{ url: "https://user:password@example.com/a" }, "url"],
    [{ url: "https://user@example.com/a" }, "url"],
    [{ url: "https://example.com/a", mirrors: ["https://u:p@example.org/a"] }, "mirrors[0]"],
  ])("refuses %j", async (file, field) => {
    const error = await failure(sources.resolve(httpSource(file), request()), "FIELD_INVALID");
    expect(error.violations[0]?.field).toBe(`source.http.files[0].${field}`);
    expect(error.message).not.toContain("password@");
  });

  it("refuses a revision, paths that lead out and paths that are there twice", async () => {
    const url = origin.serve("/a", BODY);
    await failure(sources.resolve(httpSource({ url }), request({ revision: "main" })), "FIELD_INVALID");
    await failure(sources.resolve(httpSource({ url, path: "../a" }), request()), "FIELD_INVALID");
    await failure(sources.resolve(httpSource({ url, path: "a" }, { url, path: "a" }), request()), "FIELD_INVALID");
    expect(origin.requests).toEqual([]);
  });

  it("fails with a missing file, and tries again with a server that is away", async () => {
    const missing = await failure(
      sources.resolve(httpSource({ url: `${origin.base}/none?sig=secret` }), request()),
      "SOURCE_FILE_NOT_FOUND",
    );
    expect(missing.message).toBe(`'file-0' at ${origin.base}/none is not there (404)`);
    expect(missing.metadata).toEqual({ http_status: "404" });
    const away = await failure(
      sources.resolve(httpSource({ url: "http://127.0.0.1:1/a" }), request()),
      "SOURCE_UNAVAILABLE",
    );
    expect(away).toBeInstanceOf(SourceUnavailable);
    expect(away.message).toBe("'file-0' at http://127.0.0.1:1/a refuses the connection");
  });
});

describe("mirrors", () => {
  const file = (url: string, ...mirrors: string[]) => httpSource({ url, sha256: "0".repeat(64), mirrors });
  const hosts = async (source: Parameters<Sources["resolve"]>[0]) =>
    (await sources.resolve(source, request())).files[0]?.origins.map(({ host }) => host);

  it("follow the file's own place", async () => {
    const mirror = await startOrigin();
    const source = file(origin.serve("/a", BODY), mirror.serve("/a", BODY));
    expect(await hosts(source)).toEqual([`127.0.0.1:${origin.port}`, `127.0.0.1:${mirror.port}`]);
    expect(mirror.requests).toEqual([]);
    await mirror.close();
  });

  it("stand in for it where it is gone, and come before it where it is away", async () => {
    const mirror = await startOrigin();
    const good = mirror.serve("/a", BODY);
    expect(await hosts(file(`${origin.base}/gone`, good))).toEqual([`127.0.0.1:${mirror.port}`]);
    const away = origin.serve("/a", BODY, { status: 500 });
    expect(await hosts(file(away, good))).toEqual([`127.0.0.1:${mirror.port}`, `127.0.0.1:${origin.port}`]);
    await mirror.close();
  });

  it("leave hope if one of them is only away", async () => {
    const away = origin.serve("/a", BODY, { status: 500 });
    const error = await failure(sources.resolve(file(`${origin.base}/gone`, away), request()), "SOURCE_UNAVAILABLE");
    expect(error).toBeInstanceOf(SourceUnavailable);
  });
});

describe("reading", () => {
  it("reads all from 0, and the rest from an offset", async () => {
    const file = await served();
    const whole = await open(file);
    expect(whole).toMatchObject({ offset: 0, size: 300_000, validator: expect.stringMatching(/^"[0-9a-f]{40}"$/) });
    expect((await bytesOf(whole)).equals(BODY)).toBe(true);
    const rest = await open(file, 299_000, whole.validator);
    expect(rest).toMatchObject({ offset: 299_000, size: 300_000, validator: whole.validator });
    expect((await bytesOf(rest)).equals(BODY.subarray(299_000))).toBe(true);
    expect(origin.requestsOf("/model.bin").at(-1)?.headers).toMatchObject({
      range: "bytes=299000-",
      "if-range": whole.validator,
    });
  });

  it("pins by a date where there is no strong etag", async () => {
    const date = "Wed, 01 Jan 2025 00:00:00 GMT";
    const file = await served({ etag: 'W/"weak"', headers: { "last-modified": date } });
    expect((await open(file)).validator).toBe(date);
  });

  it.each([
    [
      "a date of the same second",
      { etag: null, headers: { "last-modified": new Date(Date.now() + 60_000).toUTCString() } },
    ],
    ["an etag that cannot be sent back", { etag: '"caf\u00e9"' }],
  ] satisfies [string, Behavior][])("does not pin by %s", async (_, behavior) => {
    expect((await open(await served(behavior))).validator).toBeUndefined();
  });

  it.each([
    ["answers 200 to a Range", { ranges: "ignore" }],
    ["answers 416", { ranges: "unsatisfiable" }],
    ["begins elsewhere", { ranges: "wrong-start" }],
    ["does not say what it sends", { ranges: "unnamed" }],
  ] satisfies [string, Behavior][])("starts over with a server that %s", async (_, behavior) => {
    const opened = await open(await served(behavior), 1000);
    expect(opened).toMatchObject({ offset: 0, size: 300_000 });
    expect((await bytesOf(opened)).equals(BODY)).toBe(true);
  });

  it("starts over when the object became another one", async () => {
    const file = await served();
    const { validator } = await open(file);
    origin.serve("/model.bin", OTHER, { etag: '"other"' });
    const opened = await open(file, 1000, validator);
    expect(opened).toMatchObject({ offset: 0, validator: '"other"' });
    expect((await bytesOf(opened)).equals(OTHER)).toBe(true);
  });

  it("starts over when the server continues another object in spite of If-Range", async () => {
    const file = await served({ etag: () => `"${Math.random()}"`, headers: { "accept-ranges": "bytes" } });
    const liar = await startOrigin({
      fallback(_, response) {
        response
          .writeHead(206, { etag: '"new"', "content-range": "bytes 10-19/20", "content-length": 10 })
          .end("x".repeat(10));
        return true;
      },
    });
    origin.behave("/model.bin", { redirect: `${liar.base}/`, times: 1, methods: ["GET"] });
    expect((await open(file, 10, '"old"')).offset).toBe(0);
    expect(lastRange()).toBeUndefined();
    await liar.close();
  });

  it("starts over beyond the end of the file", async () => {
    expect(await open(await served(), 300_000)).toMatchObject({ offset: 0, size: 300_000 });
  });

  it("finds that the file is longer than the part that was sent", async () => {
    const opened = await open(await served({ ranges: "wrong-total" }), 1000);
    expect(opened).toMatchObject({ offset: 1000, size: 300_001 });
    const error = await failure(bytesOf(opened), "SOURCE_UNAVAILABLE");
    expect(error.message).toContain("ended after 299000 of 299001 bytes");
  });

  it("finds a body that ends early", async () => {
    const file = await served({ shortBy: 10 });
    for (const offset of [0, 1000]) {
      const error = await failure(bytesOf(open(file, offset)), "SOURCE_UNAVAILABLE");
      expect(error).toBeInstanceOf(SourceUnavailable);
    }
  });

  it("finds a body that is longer than announced", async () => {
    const file = await served({ longBy: 10 });
    for (const offset of [0, 1000]) await failure(bytesOf(open(file, offset)), "CONTENT_MISMATCH");
  });

  it("finds a connection that breaks, and can go on after it", async () => {
    const file = await served({ dropAfter: 100_000, times: 1 });
    const received: Uint8Array[] = [];
    const opened = await open(file);
    const error = await failure(
      (async () => {
        for await (const chunk of opened.body) received.push(chunk);
      })(),
      "SOURCE_UNAVAILABLE",
    );
    expect(error).toBeInstanceOf(SourceUnavailable);
    const got = Buffer.concat(received);
    expect(got.length).toBe(100_000);
    const rest = await open(file, got.length, opened.validator);
    expect(rest.offset).toBe(100_000);
    expect(Buffer.concat([got, await bytesOf(rest)]).equals(BODY)).toBe(true);
  });

  it("gives up on a server that never answers, and on one that stops sending", async () => {
    const silent = await served({ hang: true });
    expect((await failure(open(silent), "SOURCE_UNAVAILABLE")).message).toContain("did not answer in time");
    const stalled = await served({ stallAfter: 1000 });
    expect((await failure(bytesOf(open(stalled)), "SOURCE_UNAVAILABLE")).message).toContain("stopped sending");
  });

  it("waits for its reader, however long that takes", async () => {
    const { body } = await open(await served({ bytesPerSecond: 20_000_000 }));
    let size = 0;
    for await (const chunk of body) {
      if (size === 0) await new Promise((resolve) => setTimeout(resolve, 700));
      size += chunk.length;
    }
    expect(size).toBe(300_000);
  });

  it("refuses bytes that come compressed", async () => {
    await failure(open(await served({ gzip: true })), "CONTENT_MISMATCH");
  });

  it.each([
    [401, "SOURCE_FORBIDDEN"],
    [403, "SOURCE_FORBIDDEN"],
    [404, "SOURCE_FILE_NOT_FOUND"],
    [410, "SOURCE_FILE_NOT_FOUND"],
    [400, "SOURCE_FORBIDDEN"],
    [204, "SOURCE_UNAVAILABLE"],
  ] as const)("does not hope after %d: %s", async (status, reason) => {
    const error = await failure(open(await served({ status })), reason);
    expect(error).not.toBeInstanceOf(SourceUnavailable);
    expect(error.metadata).toEqual({ http_status: String(status) });
  });

  it.each([408, 429, 500, 502, 503, 504])("hopes after %d", async (status) => {
    const file = await served({ status, times: 1 });
    const error = await failure(open(file), "SOURCE_UNAVAILABLE");
    expect(error).toBeInstanceOf(SourceUnavailable);
    expect(error.metadata).toEqual({ http_status: String(status) });
    expect((await bytesOf(open(file))).equals(BODY)).toBe(true);
  });

  it.each([
    ["7", 7000, 7000],
    ["0", 0, 0],
    ["999999", 300_000, 300_000],
    [new Date(Date.now() + 60_000).toUTCString(), 50_000, 60_000],
    ["Wed, 01 Jan 2020 00:00:00 GMT", 0, 0],
  ])("tells how long to wait for Retry-After %s", async (value, least, most) => {
    const error = await failure(
      open(await served({ status: 429, headers: { "retry-after": value } })),
      "SOURCE_UNAVAILABLE",
    );
    const { retryAfterMs } = error as SourceUnavailable;
    expect(retryAfterMs).toBeGreaterThanOrEqual(least);
    expect(retryAfterMs).toBeLessThanOrEqual(most);
  });

  it("does not wait for a Retry-After that says nothing", async () => {
    const error = await failure(
      open(await served({ status: 503, headers: { "retry-after": "soon" } })),
      "SOURCE_UNAVAILABLE",
    );
    expect((error as SourceUnavailable).retryAfterMs).toBeUndefined();
  });

  it("survives headers that come twice", async () => {
    const twice = await startOrigin({
      fallback(_, response) {
        response
          .writeHead(
            200,
            [
              ["etag", '"a"'],
              ["etag", '"b"'],
              ["content-length", "2"],
            ].flat(),
          )
          .end("ok");
        return true;
      },
    });
    const file = await originOf(sources, httpSource({ url: `${twice.base}/a` }));
    expect((await bytesOf(open(file))).toString()).toBe("ok");
    await twice.close();
  });
});

describe("ending", () => {
  it("ends at once when the signal fires, before the answer and during it", async () => {
    for (const behavior of [{ hang: true }, { stallAfter: 1000 }]) {
      const file = await served(behavior);
      const controller = new AbortController();
      const reason = new Error("enough");
      const reading = bytesOf(open(file, 0, undefined, controller.signal));
      reading.catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 50));
      const aborted = performance.now();
      controller.abort(reason);
      await expect(reading).rejects.toBe(reason);
      expect(performance.now() - aborted).toBeLessThan(100);
    }
    await expect.poll(() => origin.connections.open).toBeLessThanOrEqual(1);
  });

  it("breaks off a body whose reader leaves, and one that nobody reads when the signal fires", async () => {
    const big = origin.serve("/big", { size: 1 << 30, read: endless });
    const file = await originOf(sources, httpSource({ url: big }));
    for await (const _ of (await open(file)).body) break;
    const controller = new AbortController();
    await open(file, 0, undefined, controller.signal);
    controller.abort();
    await expect.poll(() => origin.connections.open).toBeLessThanOrEqual(1);
    expect(origin.bytesOf("/big")).toBeLessThan(64 << 20);
  });

  it("uses connections again after refusals and redirects", async () => {
    const target = origin.serve("/target", BODY);
    origin.serve("/model.bin", BODY, { redirect: target });
    const file = await originOf(sources, httpSource({ url: `${origin.base}/model.bin` }));
    for (let round = 0; round < 5; round++) await bytesOf(open(file));
    origin.behave("/model.bin", { status: 500 });
    for (let round = 0; round < 5; round++) await failure(open(file), "SOURCE_UNAVAILABLE");
    expect(origin.connections.total).toBeLessThan(6);
    expect(origin.requests.length).toBeGreaterThan(15);
  });
});

function* endless(start: number, end: number): Generator<Uint8Array> {
  const piece = new Uint8Array(1 << 18);
  for (let at = start; at < end; at += piece.length) yield piece.subarray(0, end - at);
}

describe("redirects", () => {
  const follow = async (behavior: Behavior) => open(await served(behavior));

  it("are followed, the Range with them", async () => {
    const target = origin.serve("/target", BODY);
    const rest = await open(await served({ redirect: target }), 1000);
    expect(rest.offset).toBe(1000);
    expect(origin.requestsOf("/target")[0]?.headers.range).toBe("bytes=1000-");
  });

  it("that lead round in a circle, or on and on, are errors without hope", async () => {
    const loop = await failure(follow({ redirect: `${origin.base}/model.bin` }), "SOURCE_UNAVAILABLE");
    expect(loop.message).toContain("redirects in a loop");
    let hop = 0;
    const on = await failure(follow({ redirect: () => `/model.bin?${hop++}` }), "SOURCE_UNAVAILABLE");
    expect(on.message).toContain("redirects more than 10 times");
    for (const error of [loop, on]) expect(error).not.toBeInstanceOf(SourceUnavailable);
  });

  it.each(["ftp://example.com/a", "file:///etc/passwd", "http://user:password@127.0.0.1/"])(
    "to %s are refused",
    async (target) => {
      const error = await failure(follow({ redirect: target }), "ADDRESS_NOT_ALLOWED");
      expect(error.message).not.toContain("password");
    },
  );

  it("from https to http are refused, others from https are followed", async () => {
    const authority = createAuthority("test authority");
    setDefaultCACertificates([authority.cert]);
    const safe = await startOrigin({ tls: authority.issue("127.0.0.1") });
    const file = await originOf(sources, httpSource({ url: safe.serve("/model.bin", BODY) }));
    expect((await bytesOf(open(file))).equals(BODY)).toBe(true);
    safe.behave("/model.bin", { redirect: safe.serve("/other", OTHER) });
    expect((await bytesOf(open(file))).equals(OTHER)).toBe(true);
    const before = origin.requests.length;
    safe.behave("/model.bin", { redirect: origin.serve("/plain", OTHER) });
    await failure(open(file), "ADDRESS_NOT_ALLOWED");
    expect(origin.requests.length).toBe(before);
    await safe.close();
  });

  it("never show a signature in a message", async () => {
    const file = await originOf(sources, httpSource({ url: `${origin.serve("/model.bin", BODY)}?sig=secret` }));
    origin.behave("/model.bin", { redirect: `${origin.base}/gone?X-Signature=secret` });
    const error = await failure(open(file), "SOURCE_FILE_NOT_FOUND");
    expect(error.message).toBe(`'file-0' at ${origin.base}/model.bin is not there (404)`);
  });
});

describe("TLS", () => {
  it("that nobody vouches for is a failure of the network", async () => {
    setDefaultCACertificates([]);
    const safe = await startOrigin({ tls: createAuthority("unknown").issue("127.0.0.1") });
    const error = await failure(
      sources.resolve(httpSource({ url: safe.serve("/a", BODY) }), request()),
      "SOURCE_UNAVAILABLE",
    );
    expect(error.message).toContain("has no valid TLS");
    expect(error).toBeInstanceOf(SourceUnavailable);
    await safe.close();
  });
});

describe("credentials", () => {
  const withToken = (url: string, credential: string, mirrors: string[] = []) => ({
    kind: "http" as const,
    credential,
    files: [{ url, path: "a", sha256: "0".repeat(64), mirrors }],
  });

  it("go to the file's own origin, not to a redirect's or a mirror's", async () => {
    const other = await startOrigin();
    const mirror = await startOrigin();
    const guarded = testSources({ credentials: named({ mine: { token: "t0ken" } }) });
    const back = origin.serve("/back", BODY);
    const away = other.serve("/away", BODY, { redirect: back });
    const here = origin.serve("/here", BODY, { redirect: away });
    origin.serve("/start", BODY, { redirect: here });
    const source = withToken(`${origin.base}/start`, "mine", [mirror.serve("/a", BODY)]);
    const { files } = await guarded.resolve(source, request());
    for (const place of files[0]?.origins ?? []) await bytesOf(open(place));
    const sent = (server: TestOrigin, path: string) =>
      new Set(server.requestsOf(path).map(({ headers }) => headers.authorization));
    expect(sent(origin, "/start")).toEqual(new Set(["Bearer t0ken"]));
    expect(sent(origin, "/here")).toEqual(new Set(["Bearer t0ken"]));
    expect(sent(other, "/away")).toEqual(new Set([undefined]));
    expect(sent(origin, "/back")).toEqual(new Set([undefined]));
    expect(sent(mirror, "/a")).toEqual(new Set([undefined]));
    await Promise.all([guarded.close(), other.close(), mirror.close()]);
  });

  it("of a call come before the source's", async () => {
    const guarded = testSources({ credentials: named({ mine: { token: "mine" }, yours: { token: "yours" } }) });
    const url = origin.serve("/a", BODY);
    await guarded.resolve(withToken(url, "mine"), request({ credential: { token: "direct" } }));
    await guarded.resolve(withToken(url, "mine"), request({ credential: { name: "yours" } }));
    expect(origin.requests.map(({ headers }) => headers.authorization)).toEqual(["Bearer direct", "Bearer yours"]);
    await guarded.close();
  });

  it("that the operator keeps for other hosts are refused without a request", async () => {
    const guarded = testSources({
      credentials: named({
        other: { token: "t0ken", hosts: ["example.com"] },
        here: { token: "t0ken", hosts: [`127.0.0.1:${origin.port}`] },
      }),
    });
    const url = origin.serve("/a", BODY);
    const error = await failure(guarded.resolve(withToken(url, "other"), request()), "FIELD_INVALID");
    expect(error.message).not.toContain("t0ken");
    expect(origin.requests).toEqual([]);
    await guarded.resolve(withToken(url, "here"), request());
    expect(origin.requests).toHaveLength(1);
    await guarded.close();
  });
});
