import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Answer, Exchange } from "../../support/lying-origin.ts";
import { type Bend, type Content, chunked, content, falsified, lieToGet, MiB, reply, SIZE } from "./support/answers.ts";
import { createLab, type Lab, type Refusal } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

const bent = (bend: Bend) => (object: Content) => lieToGet(object, (exchange) => reply(exchange, object, bend));

/** Goes on sending until the other side has had enough. */
async function endlessly(exchange: Exchange, piece: Uint8Array): Promise<void> {
  while (exchange.socket.writable) await exchange.write(piece);
}

/** A chunk of three mebibytes whose size says that it has two. */
const longChunk = (bytes: Uint8Array) =>
  Buffer.concat([Buffer.from(`${(2 * MiB).toString(16)}\r\n`), bytes.subarray(0, 3 * MiB)]);

const PIECE = Buffer.alloc(MiB, "x");
const NO_LENGTH = { "content-length": undefined };
const IN_CHUNKS = { ...NO_LENGTH, "transfer-encoding": "chunked" };
const TOO_LONG: Refusal = { reason: "CONTENT_MISMATCH", cause: /more than|announced|the source has/ };
const TOO_SHORT: Refusal = { reason: "SOURCE_UNAVAILABLE", cause: /ended|broke off/ };
const COMPRESSED: Refusal = { reason: "CONTENT_MISMATCH", cause: /compressed/ };
const NO_HTTP: Refusal = { reason: "SOURCE_UNAVAILABLE", cause: /does not speak HTTP|broke off|ended/ };

async function ask(lie: (object: Content) => Answer, known: boolean) {
  const object = content();
  const origin = await lab.origin(lie(object));
  const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: known ? object.sha256 : "" });
  return { object, origin, outcome };
}

it.each<[string, (object: Content) => Answer]>([
  [
    "breaks off after two thirds of what it was asked for, each time",
    bent({ cutAfter: (length) => Math.ceil(length * 0.67) }),
  ],
  [
    "breaks off before the last byte, once",
    (object) =>
      lieToGet(object, (exchange) =>
        reply(exchange, object, { cutAfter: exchange.request.nth === 0 ? (length) => length - 1 : undefined }),
      ),
  ],
  [
    "breaks off before the first byte, four times",
    (object) =>
      lieToGet(object, (exchange) => reply(exchange, object, { cutAfter: exchange.request.nth < 4 ? 0 : undefined })),
  ],
  [
    "ends its chunks too early, once",
    (object) =>
      lieToGet(object, (exchange) =>
        reply(
          exchange,
          object,
          exchange.request.nth === 0
            ? { headers: IN_CHUNKS, body: (bytes) => chunked(bytes.subarray(0, bytes.length / 2)) }
            : {},
        ),
      ),
  ],
  [
    "breaks off between chunks, once",
    (object) =>
      lieToGet(object, (exchange) =>
        reply(exchange, object, exchange.request.nth === 0 ? { headers: IN_CHUNKS, body: chunked, cutAfter: MiB } : {}),
      ),
  ],
  [
    "says nothing of the length to anybody",
    (object) => (exchange) =>
      reply(exchange, object, { whole: true, headers: NO_LENGTH, cutAfter: (length) => length }),
  ],
  [
    "sends rubbish after what it announced",
    bent({ body: (bytes) => Buffer.concat([bytes, Buffer.alloc(3 * MiB, "y")]) }),
  ],
  [
    "sends rubbish after its last chunk",
    bent({ headers: IN_CHUNKS, body: (bytes) => Buffer.concat([chunked(bytes), Buffer.alloc(MiB, "y")]) }),
  ],
  [
    "sends a second answer that nobody asked for",
    bent({
      body: (bytes) => Buffer.concat([bytes, Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")]),
    }),
  ],
  [
    "sends more than the size of a chunk, once",
    (object) =>
      lieToGet(object, (exchange) =>
        reply(exchange, object, exchange.request.nth === 0 ? { headers: IN_CHUNKS, body: longChunk } : {}),
      ),
  ],
  [
    "puts names and comments into its chunks",
    bent({
      headers: IN_CHUNKS,
      body: (bytes) =>
        Buffer.concat([
          Buffer.from(`${bytes.length.toString(16).toUpperCase().padStart(8, "0")};name=value\r\n`),
          bytes,
          Buffer.from("\r\n0\r\nx-trailer: yes\r\n\r\n"),
        ]),
    }),
  ],
  [
    "sends chunks of one byte for a while",
    bent({
      headers: IN_CHUNKS,
      body: (bytes) =>
        Buffer.concat([chunked(bytes.subarray(0, 20_000), 1).subarray(0, -5), chunked(bytes.subarray(20_000))]),
    }),
  ],
])("a server that %s gives the right bytes in the end", async (_lie, lie) => {
  const { object, outcome } = await ask(lie, false);
  await lab.expectRight(outcome, object);
});

it.each<[string, (object: Content) => Answer, Refusal]>([
  [
    "never ends",
    (object) =>
      lieToGet(object, async (exchange) => {
        await reply(exchange, object, { whole: true, headers: NO_LENGTH });
        await endlessly(exchange, PIECE);
      }),
    TOO_LONG,
  ],
  [
    "never ends, in chunks",
    (object) =>
      lieToGet(object, async (exchange) => {
        await exchange.head({ headers: { "transfer-encoding": "chunked", etag: object.etag } });
        await endlessly(exchange, chunked(PIECE).subarray(0, -5));
      }),
    TOO_LONG,
  ],
  [
    "announces a byte more",
    bent({
      whole: true,
      headers: { "content-length": SIZE + 1 },
      body: (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]),
    }),
    TOO_LONG,
  ],
  [
    "announces a byte less",
    bent({ whole: true, headers: { "content-length": SIZE - 1 }, body: (bytes) => bytes.subarray(0, -1) }),
    TOO_LONG,
  ],
  [
    "has nothing when it is asked for the bytes",
    bent({ whole: true, headers: { "content-length": 0 }, body: new Uint8Array() }),
    TOO_LONG,
  ],
  ["always breaks off before the first byte", bent({ cutAfter: 0 }), TOO_SHORT],
  [
    "always ends its chunks before the first byte",
    bent({ headers: IN_CHUNKS, body: Buffer.from("0\r\n\r\n") }),
    TOO_SHORT,
  ],
  [
    "compresses anyway",
    bent({
      whole: true,
      headers: { ...IN_CHUNKS, "content-encoding": "gzip" },
      body: (bytes) => chunked(gzipSync(bytes.subarray(0, MiB), { level: 1 })),
    }),
    COMPRESSED,
  ],
  [
    "says that it compresses, with the length of the plain bytes",
    bent({ headers: { "content-encoding": "gzip" } }),
    COMPRESSED,
  ],
  ["compresses by another name", bent({ headers: { "content-encoding": "br" } }), COMPRESSED],
  [
    "compresses on the way",
    bent({
      whole: true,
      headers: { ...NO_LENGTH, "transfer-encoding": "x-gzip, chunked" },
      body: (bytes) => chunked(gzipSync(bytes.subarray(0, MiB), { level: 1 })),
    }),
    COMPRESSED,
  ],
  [
    "sends chunks of a size that is no number",
    bent({ headers: IN_CHUNKS, body: Buffer.from("zz\r\nhello\r\n") }),
    NO_HTTP,
  ],
  ["sends chunks of a size below zero", bent({ headers: IN_CHUNKS, body: Buffer.from("-5\r\nhello\r\n") }), NO_HTTP],
  [
    "sends a chunk of more bytes than there are",
    bent({ headers: IN_CHUNKS, body: Buffer.from("fffffffffffffffff1\r\nhello\r\n") }),
    NO_HTTP,
  ],
])("a server that %s brings the right bytes or none", async (_lie, lie, refusal) => {
  const { object, origin, outcome } = await ask(lie, false);
  await lab.expectRightOrRefused(outcome, [object], refusal);
  expect(origin.sent()).toBeLessThan(600 * MiB);
});

describe("bytes that are not the file's", () => {
  const WRONG: Refusal = {
    reason: "CONTENT_MISMATCH",
    cause: /do not match their digest: expected sha256:[0-9a-f]{64}, got/,
  };

  it.each<[string, (object: Content) => Answer]>([
    [
      "of every answer",
      (object) => lieToGet(object, (exchange) => reply(exchange, { ...object, bytes: falsified(object.bytes) })),
    ],
    [
      "at the very end",
      (object) =>
        lieToGet(object, (exchange) => reply(exchange, { ...object, bytes: falsified(object.bytes, SIZE - 1) })),
    ],
    [
      "that are all zero",
      (object) => lieToGet(object, (exchange) => reply(exchange, { ...object, bytes: Buffer.alloc(SIZE) })),
    ],
    [
      "that are another file of the same size",
      (object) => {
        const other = content();
        return lieToGet(object, (exchange) => reply(exchange, other));
      },
    ],
  ])("%s are never taken", async (_lie, lie) => {
    const { object, outcome } = await ask(lie, true);
    await lab.expectRefused(outcome, WRONG);
    expect(await lab.cluster.store.stat(`sha256:${object.sha256}`)).toBeUndefined();
  });

  it("are asked for again, and the right ones taken", async () => {
    const { object, outcome } = await ask(
      (object) =>
        lieToGet(object, (exchange) => reply(exchange, object, exchange.request.nth === 0 ? { body: falsified } : {})),
      true,
    );
    await lab.expectRight(outcome, object);
  });
});

describe("a size that is not the file's, told before", () => {
  it.each<[string, Bend]>([
    ["a byte too many", { headers: { "content-length": SIZE + 1 } }],
    ["a byte too few", { headers: { "content-length": SIZE - 1 } }],
    ["none", { headers: { "content-length": 0 } }],
    ["more than 2^53", { headers: { "content-length": "9007199254740993" } }],
    ["more than 2^64", { headers: { "content-length": "18446744073709551617" } }],
    ["less than nothing", { headers: { "content-length": "-1" } }],
    ["no number", { headers: { "content-length": "many" } }],
    ["with a sign", { headers: { "content-length": `+${SIZE}` } }],
    ["in another base", { headers: { "content-length": `0x${SIZE.toString(16)}` } }],
  ])("(%s) brings the right bytes or none", async (_lie, bend) => {
    const { object, outcome } = await ask(
      (object) => (exchange) => reply(exchange, object, exchange.request.method === "HEAD" ? bend : {}),
      true,
    );
    await lab.expectRightOrRefused(outcome, [object], {
      reason: ["CONTENT_MISMATCH", "SOURCE_UNAVAILABLE"],
      cause: /announced|the source has|does not speak HTTP|cannot be reached|do not match/,
    });
  });

  it.each<[string, RegExp | undefined]>([
    ["9007199254740993", undefined],
    ["18446744073709551617", undefined],
    ["-1", undefined],
    ["1, 2", undefined],
  ])("a length of %s with the bytes themselves brings none", async (length) => {
    const { object, outcome } = await ask(
      (object) =>
        lieToGet(object, (exchange) =>
          reply(exchange, object, { whole: true, headers: { "content-length": length }, cutAfter: SIZE }),
        ),
      false,
    );
    await lab.expectRightOrRefused(outcome, [object], {
      reason: ["CONTENT_MISMATCH", "SOURCE_UNAVAILABLE"],
      cause: /announced|the source has|does not speak HTTP|broke off|ended|cannot be reached/,
    });
  });

  it("that no disk has room for is refused before a byte is asked for", async () => {
    const huge = 2 ** 49;
    const { outcome, origin } = await ask(
      (object) => (exchange) =>
        reply(exchange, object, { whole: true, headers: { "content-length": huge }, cutAfter: SIZE }),
      false,
    );
    expect(outcome.last).toMatchObject({ state: "FAILED", error: { reason: "DISK_FULL" } });
    expect(outcome.last.error?.message).toMatch(/needed.*free/);
    expect(origin.requests.filter(({ method }) => method === "GET")).toEqual([]);
  });
});
