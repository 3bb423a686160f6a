import { setTimeout as delay } from "node:timers/promises";
import { setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Lookup } from "../../../src/sources/outgoing/connector.ts";
import { createAuthority } from "../../support/certificates.ts";
import type { Answer, Exchange } from "../../support/lying-origin.ts";
import { askedSpan, type Bend, type Content, content, cutFirst, lieToGet, MiB, reply } from "./support/answers.ts";
import { createLab, type Lab } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

const IMPATIENT = { timing: { stallMs: 150 } };

/** Resets the connection a mebibyte after each answer began. */
async function resetAfterMiB(exchange: Exchange, object: Content): Promise<void> {
  const before = exchange.socket.bytesWritten;
  await reply({ ...exchange, end: async () => {} }, object, { cutAfter: MiB });
  // A reset throws away what was not received yet.
  await delay(exchange.socket.bytesWritten > before ? 10 : 0);
  exchange.reset();
}

/** Answers the statuses to the GETs in turn, and honestly where there is none. */
function statuses(object: Content, each: (nth: number) => number | undefined, headers: Bend["headers"] = {}): Answer {
  return lieToGet(object, async (exchange) => {
    const status = each(exchange.request.nth);
    if (status === undefined) await reply(exchange, object);
    else await exchange.head({ status, headers: { "content-length": 0, ...(headers as object) } });
  });
}

describe("a connection that", () => {
  it("ends after each mebibyte costs nothing of the file", async () => {
    const object = content();
    const origin = await lab.origin(lieToGet(object, (exchange) => reply(exchange, object, { cutAfter: MiB })));
    const outcome = await lab.fetch(`${origin.base}/model.bin`);
    await lab.expectRight(outcome, object);
    expect(outcome.last.attempt).toBe(1);
  });

  it("is reset after each mebibyte costs nothing of the file", async () => {
    const object = content();
    const origin = await lab.origin(lieToGet(object, (exchange) => resetAfterMiB(exchange, object)));
    const outcome = await lab.fetch(`${origin.base}/model.bin`);
    await lab.expectRight(outcome, object);
    expect(outcome.last.attempt).toBe(1);
  });

  it("ends after each mebibyte costs nothing of a file whose digest is known, though nothing else names it", async () => {
    const object = content({ etag: undefined });
    const origin = await lab.origin(lieToGet(object, (exchange) => reply(exchange, object, { cutAfter: MiB })));
    const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: object.sha256 });
    await lab.expectRight(outcome, object);
    expect(outcome.last.attempt).toBe(1);
  });

  it("ends after each mebibyte of a file that nothing names brings it whole or not at all", async () => {
    const object = content({ etag: undefined });
    const origin = await lab.origin(lieToGet(object, (exchange) => reply(exchange, object, { cutAfter: MiB })));
    const outcome = await lab.fetch(`${origin.base}/model.bin`);
    await lab.expectRightOrRefused(outcome, [object], {
      reason: "SOURCE_UNAVAILABLE",
      cause: /broke off|ended/,
      host: origin.host,
    });
  });

  it("breaks at every second request is asked again", async () => {
    const object = content();
    const origin = await lab.origin(
      lieToGet(object, (exchange) =>
        exchange.request.nth % 2 === 0 ? exchange.reset() : reply(exchange, object, { cutAfter: MiB }),
      ),
    );
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it("breaks when it is used a second time is not used a second time", async () => {
    const object = content();
    const used = new WeakSet<object>();
    const origin = await lab.origin((exchange) => {
      if (used.has(exchange.socket)) return exchange.reset();
      used.add(exchange.socket);
      return reply(exchange, object);
    });
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it.each<[string, Bend]>([
    ["before the answer", { pauseMs: 10_000 }],
    ["in the head, which comes byte by byte", { pauseMs: 20 }],
  ])("stalls %s is replaced", async (_, bend) => {
    const object = content();
    const origin = await lab.origin(
      lieToGet(object, (exchange) => reply(exchange, object, exchange.request.nth < 2 ? bend : {})),
    );
    const outcome = await lab.fetch(`${origin.base}/model.bin`, {}, IMPATIENT);
    await lab.expectRight(outcome, object);
    expect(outcome.ms).toBeLessThan(15_000);
  });

  it("stalls in the middle of bodies is replaced", async () => {
    const object = content();
    const origin = await lab.origin(
      lieToGet(object, async (exchange) => {
        if (exchange.request.nth >= 3) return reply(exchange, object);
        await reply({ ...exchange, end: async () => {} }, object, { cutAfter: (length) => Math.floor(length / 4) });
        await new Promise((resolve) => exchange.socket.once("close", resolve));
      }),
    );
    const outcome = await lab.fetch(`${origin.base}/model.bin`, {}, IMPATIENT);
    await lab.expectRight(outcome, object);
    expect(outcome.last.attempt).toBe(1);
  });

  it("stalls each time is given up", async () => {
    const object = content();
    const origin = await lab.origin(lieToGet(object, () => new Promise<void>(() => {})));
    const outcome = await lab.fetch(`${origin.base}/model.bin`, {}, { timing: { stallMs: 50 } });
    await lab.expectRefused(outcome, {
      reason: "SOURCE_UNAVAILABLE",
      cause: /sent nothing/,
      host: origin.host,
      file: /./,
    });
  });

  it("is slow but goes on is waited for", async () => {
    const object = content({ size: 3 * MiB + 1 });
    const origin = await lab.origin(
      lieToGet(object, async (exchange) => {
        await reply({ ...exchange, write: async () => {} }, object);
        const { start, end } = askedSpan(exchange.request, object.bytes.length) ?? { start: 0, end: undefined };
        const rest = object.bytes.subarray(start, end);
        for (let at = 0; at < rest.length; at += MiB / 4) {
          await exchange.write(rest.subarray(at, at + MiB / 4));
          await delay(40);
        }
        await exchange.end();
      }),
    );
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`, {}, IMPATIENT), object);
  });

  it("is refused leaves no doubt who refuses", async () => {
    const origin = await lab.origin(() => {});
    await origin.close();
    const outcome = await lab.fetch(`${origin.base}/model.bin`);
    await lab.expectRefused(outcome, {
      reason: "SOURCE_UNAVAILABLE",
      cause: /refuses the connection/,
      host: origin.host,
    });
  });
});

describe("a server that", () => {
  it.each([
    [429, "0"],
    [503, "0"],
    [503, new Date(Date.now() - 1000).toUTCString()],
    [500, undefined],
    [502, "nonsense"],
    [408, undefined],
  ])("answers %d (Retry-After: %s) to every other request is asked again", async (status, wait) => {
    const object = content();
    const limited = statuses(object, (nth) => (nth % 2 === 0 ? status : undefined), { "retry-after": wait });
    const origin = await lab.origin(limited);
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it.each([400, 403, 405, 501])("answers %d to HEAD is asked without it", async (status) => {
    const object = content();
    const origin = await lab.origin(
      cutFirst(object, (exchange) =>
        exchange.request.method === "HEAD" ? exchange.head({ status }) : reply(exchange, object),
      ),
    );
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it("asks for a second is left alone for a second", async () => {
    const object = content();
    const origin = await lab.origin(statuses(object, (nth) => (nth === 0 ? 429 : undefined), { "retry-after": "1" }));
    const outcome = await lab.fetch(`${origin.base}/model.bin`);
    await lab.expectRight(outcome, object);
    expect(outcome.ms).toBeGreaterThan(950);
  });

  it.each([
    [401, "SOURCE_FORBIDDEN", /may not be read/],
    [403, "SOURCE_FORBIDDEN", /may not be read/],
    [404, "SOURCE_FILE_NOT_FOUND", /not there/],
    [410, "SOURCE_FILE_NOT_FOUND", /not there/],
    [451, "SOURCE_FORBIDDEN", /refuses/],
    [501, "SOURCE_UNAVAILABLE", /cannot answer/],
  ] as const)("answers %d from the middle on is not besieged", async (status, reason, cause) => {
    const object = content();
    const origin = await lab.origin(
      cutFirst(
        object,
        statuses(object, () => status),
      ),
    );
    const outcome = await lab.fetch(`${origin.base}/model.bin`);
    await lab.expectRefused(outcome, { reason, cause, host: origin.host });
    expect(origin.requests.length).toBeLessThan(100);
  });
});

describe("a host", () => {
  it("at an IPv6 address is reached, and named with its brackets", async () => {
    const object = content();
    const origin = await lab.origin(
      cutFirst(object, (exchange) =>
        exchange.request.target === "/model.bin" ? reply(exchange, object) : exchange.head({ status: 404 }),
      ),
      { host: "::1" },
    );
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
    const away = await lab.fetch(`${origin.base}/away/model.bin`);
    await lab.expectRefused(away, {
      reason: "SOURCE_FILE_NOT_FOUND",
      cause: /not there/,
      host: `[::1]:${origin.port}`,
    });
  });

  it.each([
    ["first", ["127.0.0.2", "127.0.0.1"]],
    ["last", ["127.0.0.1", "127.0.0.2"]],
  ])("of two addresses, whose %s refuses, is reached at the other", async (_, addresses) => {
    const object = content();
    const lookup: Lookup = async () => addresses.map((address) => ({ address, family: 4 }));
    const origin = await lab.origin(cutFirst(object, (exchange) => reply(exchange, object)));
    const url = `http://two.example:${origin.port}/model.bin`;
    await lab.expectRight(await lab.fetch(url, {}, { sources: { lookup } }), object);
  });

  it("whose name does not resolve any more is named", async () => {
    const object = content();
    let asked = 0;
    const lookup: Lookup = async () => {
      asked += 1;
      if (asked > 1) throw Object.assign(new Error("gone"), { code: "ENOTFOUND" });
      return [{ address: "127.0.0.1", family: 4 }];
    };
    const origin = await lab.origin((exchange) => reply(exchange, object, { cutAfter: MiB }));
    const url = `http://gone.example:${origin.port}/model.bin`;
    const outcome = await lab.fetch(url, {}, { sources: { lookup } });
    await lab.expectRefused(outcome, { reason: "SOURCE_UNAVAILABLE", cause: /does not resolve/, host: "gone.example" });
  });
});

describe("TLS", () => {
  const authority = createAuthority("an authority");

  it("that is trusted brings the right bytes through cuts and without good-byes", async () => {
    setDefaultCACertificates([authority.cert]);
    const object = content();
    const origin = await lab.origin(
      lieToGet(object, (exchange) =>
        exchange.request.nth % 2 === 0 ? resetAfterMiB(exchange, object) : reply(exchange, object, { cutAfter: MiB }),
      ),
      { tls: authority.issue("127.0.0.1") },
    );
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it.each([
    ["that nobody vouches for", [], "127.0.0.1"],
    ["for another host", [authority.cert], "127.0.0.2"],
  ])("%s is refused", async (_, trusted, host) => {
    setDefaultCACertificates(trusted);
    const object = content();
    const origin = await lab.origin((exchange) => reply(exchange, object), { tls: authority.issue("127.0.0.1"), host });
    const outcome = await lab.fetch(`${origin.base}/model.bin`);
    await lab.expectRefused(outcome, { reason: "SOURCE_UNAVAILABLE", cause: /no valid TLS/, host: origin.host });
    expect(origin.requests).toEqual([]);
  });

  it("that is none is refused", async () => {
    const origin = await lab.origin(() => {}, { onConnection: (socket) => void socket.end("HTTP/1.1 400 no\r\n\r\n") });
    const outcome = await lab.fetch(`https://${origin.host}/model.bin`);
    await lab.expectRefused(outcome, { reason: "SOURCE_UNAVAILABLE", cause: /TLS/, host: origin.host });
  });
});
