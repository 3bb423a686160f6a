import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Answer, Exchange } from "../../support/lying-origin.ts";
import { type Bend, type Content, content, cutFirst, lieToGet, MiB, reply } from "./support/answers.ts";
import { createLab, type Lab, type Refusal } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

type Lie = (object: Content) => Answer;

const bent =
  (bend: Bend): Lie =>
  (object) =>
    lieToGet(object, (exchange) => reply(exchange, object, bend));
/** Writes something before each honest answer to a GET. */
const preceded =
  (text: string): Lie =>
  (object) =>
    lieToGet(object, async (exchange) => {
      await exchange.write(text);
      await reply(exchange, object);
    });
/** Bends every answer, to HEAD too. */
const always =
  (bend: Bend): Lie =>
  (object) =>
  (exchange) =>
    reply(exchange, object, bend);
/** Writes this in answer to a GET and closes. */
const raw =
  (...parts: string[]): Lie =>
  (object) =>
    lieToGet(object, async (exchange) => {
      await exchange.write(...parts);
      await exchange.end();
    });
/** Begins to answer a GET and goes on for ever. */
const endless =
  (begin: string, piece: string): Lie =>
  (object) =>
    lieToGet(object, async (exchange: Exchange) => {
      await exchange.write(begin);
      const bytes = Buffer.from(piece.repeat(Math.ceil(100_000 / piece.length)));
      while (exchange.socket.writable) await exchange.write(bytes);
    });

const CLOSED: Bend = { headers: { connection: "close" }, cutAfter: (length) => length };
const version = (name: string): Bend["line"] => `${name} 200 OK`;
const BAD_HTTP: Refusal = {
  reason: ["SOURCE_UNAVAILABLE", "CONTENT_MISMATCH", "SOURCE_FORBIDDEN"],
  cause:
    /does not speak HTTP|broke off|cannot be reached|not understood|announced|more than|ended|did not answer|sent nothing|the source has|do not match|cannot answer/,
};

describe("a server that", () => {
  it.each<[string, Lie]>([
    ["closes after every answer", always(CLOSED)],
    ["closes after every answer without saying so", always({ cutAfter: (length) => length })],
    ["speaks HTTP/1.0 and closes", always({ line: version("HTTP/1.0"), whole: true, cutAfter: (length) => length })],
    [
      "speaks HTTP/1.0, tells no length and closes",
      always({
        line: version("HTTP/1.0"),
        whole: true,
        headers: { "content-length": undefined },
        cutAfter: (length) => length,
      }),
    ],
    [
      "speaks HTTP/1.0 and keeps connections",
      always({ line: version("HTTP/1.0"), whole: true, headers: { connection: "keep-alive" } }),
    ],
    ["sends hints before its answer", preceded("HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n")],
    ["is busy for a while", preceded("HTTP/1.1 102 Processing\r\n\r\n".repeat(20))],
    [
      "says its reason in no words",
      (object) =>
        lieToGet(object, (exchange) =>
          reply(exchange, object, { line: exchange.request.headers.range ? "HTTP/1.1 206 " : "HTTP/1.1 200 " }),
        ),
    ],
    [
      "writes names of headers in capitals",
      (object) =>
        lieToGet(object, (exchange) =>
          reply(exchange, object, {
            headers: ({ start, end }) => ({ "content-length": undefined, "CONTENT-LENGTH": end - start }),
          }),
        ),
    ],
    ["writes its head byte by byte", bent({ pauseMs: 1 })],
    [
      "has many headers",
      bent({
        headers: Object.fromEntries(Array.from({ length: 90 }, (_, index) => [`x-header-${index}`, "y".repeat(40)])),
      }),
    ],
    [
      "tells the same length twice, once",
      (object) =>
        lieToGet(object, (exchange) =>
          reply(
            exchange,
            object,
            exchange.request.nth > 0
              ? {}
              : { headers: ({ start, end }) => ({ "content-length": [String(end - start), String(end - start)] }) },
          ),
        ),
    ],
  ])("%s gives the right bytes", async (_, lie) => {
    const object = content();
    const origin = await lab.origin(cutFirst(object, lie(object)));
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it.each<[string, Lie]>([
    ["goes on though nobody waited for that", preceded("HTTP/1.1 100 Continue\r\n\r\n")],
    [
      "wants to speak another protocol",
      preceded("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"),
    ],
    ["ends lines with LF alone", raw("HTTP/1.1 200 OK\ncontent-length: 5\n\nhello")],
    ["has a NUL in a header", bent({ headers: { "x-nothing": "a\0b" } })],
    ["has control characters in a header", bent({ headers: { "x-bell": "\x07\x08\x1b[31m" } })],
    ["has a header without a name", bent({ headers: { "": "value" } })],
    ["has blanks before the colon of a header", bent({ headers: { "content-length ": "5" } })],
    ["folds headers", bent({ headers: { "x-folded": "one\r\n two" } })],
    ["tells one length and another", bent({ headers: { "content-length": ["10", "20"] } })],
    ["tells a length and chunks", bent({ headers: { "transfer-encoding": "chunked" } })],
    ["names two encodings", bent({ headers: { "transfer-encoding": ["chunked", "chunked"] } })],
    ["has a head of a mebibyte", bent({ headers: { "x-large": "y".repeat(MiB) } })],
    ["has a hundred thousand headers", bent({ headers: { "x-many": Array.from({ length: 100_000 }, () => "y") } })],
    ["speaks HTTP in small letters", bent({ line: "http/1.1 200 OK" })],
    ["speaks a later HTTP/1", bent({ line: "HTTP/1.2 200 OK" })],
    ["speaks HTTP/2 in words", bent({ line: "HTTP/2.0 200 OK" })],
    ["speaks no version", bent({ line: "HTTP 200 OK" })],
    ["speaks HTTP/0.9", raw("<html>hello</html>")],
    ["speaks another protocol", raw("SSH-2.0-OpenSSH_9.6\r\n")],
    ["answers a status of four digits", bent({ line: "HTTP/1.1 2000 OK" })],
    ["answers a status that is no number", bent({ line: "HTTP/1.1 OK" })],
    ["answers a status that there is not", bent({ line: "HTTP/1.1 999 Whatever" })],
    ["answers nothing and closes", raw("")],
    ["answers half a line and closes", raw("HTTP/1.1 20")],
    ["answers half a head and closes", raw("HTTP/1.1 200 OK\r\ncontent-length: 1")],
    ["has no content", bent({ line: "HTTP/1.1 204 No Content" })],
    ["has nothing new", bent({ line: "HTTP/1.1 304 Not Modified" })],
    ["sends part of what was asked for whole", bent({ line: "HTTP/1.1 206 Partial Content", whole: true })],
    [
      "sends two answers at once",
      bent({
        body: (bytes) => Buffer.concat([bytes, Buffer.from("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")]),
      }),
    ],
  ])("%s gives the right bytes or none, and soon", async (_, lie) => {
    const object = content({ size: 3 * MiB + 3 });
    const origin = await lab.origin(lie(object));
    const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: object.sha256 });
    await lab.expectRightOrRefused(outcome, [object], BAD_HTTP);
  });

  it.each<[string, Lie]>([
    ["talks without end before it answers", endless("", "HTTP/1.1 102 Processing\r\n\r\n")],
    ["has a header without end", endless("HTTP/1.1 200 OK\r\nx-large: ", "y")],
    ["has headers without end", endless("HTTP/1.1 200 OK\r\n", "x-more: yes\r\n")],
    ["has a first line without end", endless("HTTP/1.1 200 ", "OK")],
    ["names its chunks without end", endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;", "name")],
    [
      "has trailers without end",
      endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x-more: yes\r\n"),
    ],
  ])("%s is left alone soon", async (_, lie) => {
    const object = content();
    const origin = await lab.origin(lie(object));
    const outcome = await lab.fetch(`${origin.base}/model.bin`, {}, { timing: { stallMs: 100 } });
    await lab.expectRefused(outcome, {
      ...BAD_HTTP,
      cause: /does not speak HTTP|broke off|cannot be reached|sent nothing/,
      file: /./,
    });
    expect(origin.sent()).toBeLessThan(600 * MiB);
  });

  it("answers HEAD with a body gives the right bytes or none", async () => {
    const object = content();
    const origin = await lab.origin(async (exchange) => {
      await reply(exchange, object);
      if (exchange.request.method === "HEAD") await exchange.write(object.bytes.subarray(0, MiB));
    });
    const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: object.sha256 });
    await lab.expectRightOrRefused(outcome, [object], BAD_HTTP);
  });

  it.each([
    ["of a known digest", true],
    ["of an unknown digest", false],
  ])("answers requests that came together in the wrong order gives the right bytes %s or none", async (_, known) => {
    const object = content({ size: 16 * MiB + 1 });
    const origin = await lab.origin((exchange) => reply(exchange, object), { lastFirst: true });
    const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: known ? object.sha256 : "" });
    await lab.expectRightOrRefused(outcome, [object], BAD_HTTP);
  });

  it.each([
    ["an answer", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
    ["something", "hello\r\n\r\n"],
  ])("says %s before it is asked gives the right bytes or none", async (_, greeting) => {
    const object = content();
    const origin = await lab.origin((exchange) => reply(exchange, object), {
      onConnection: (socket) => void socket.write(greeting),
    });
    const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: object.sha256 });
    await lab.expectRightOrRefused(outcome, [object], BAD_HTTP);
  });
});
