import { afterAll, beforeAll, describe, it } from "vitest";
import type { Answer, Exchange } from "../../support/lying-origin.ts";
import {
  askedSpan,
  type Bend,
  type Content,
  chunked,
  content,
  cutFirst,
  lieToGet,
  lieToRanges,
  MiB,
  reply,
  SIZE,
  type Span,
} from "./support/answers.ts";
import { createLab, type Lab, type Refusal } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

/** A lie that every GET is answered with by bending the honest answer. */
const bent = (bend: Bend) => (object: Content) => lieToGet(object, (exchange) => reply(exchange, object, bend));
/** A lie that every GET for a range is answered with; who asks for the whole gets it. */
const bentRange = (bend: Bend | ((exchange: Exchange, span: Span) => Bend)) => (object: Content) =>
  lieToRanges(object, (exchange) => {
    const span = askedSpan(exchange.request, SIZE);
    if (span === undefined) return exchange.reset();
    return reply(exchange, object, typeof bend === "function" ? bend(exchange, span) : bend);
  });

/** From the beginning, and going on after a cut; what cannot be checked by a digest is the harder case where bytes are joined. */
const WAYS = [
  ["from the beginning, checked by a digest", false, true],
  ["after a cut, checked by nothing", true, false],
] as const;

describe.each(WAYS)("%s, a server", (_, cut, known) => {
  async function ask(lie: (object: Content) => Answer) {
    const object = content();
    const answer = lie(object);
    const origin = await lab.origin(cut ? cutFirst(object, answer) : answer);
    const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: known ? object.sha256 : "" });
    return { object, outcome };
  }

  it.each<[string, (object: Content) => Answer]>([
    ["sends the whole with its length", bent({ whole: true })],
    [
      "sends the whole without a length, and closes",
      bent({ whole: true, headers: { "content-length": undefined }, cutAfter: (length) => length }),
    ],
    [
      "sends the whole in chunks",
      bent({ whole: true, body: chunked, headers: { "content-length": undefined, "transfer-encoding": "chunked" } }),
    ],
    [
      "sends ranges in chunks",
      bent({ body: chunked, headers: { "content-length": undefined, "transfer-encoding": "chunked" } }),
    ],
    [
      "sends ranges without a length, and closes",
      bent({ headers: { "content-length": undefined }, cutAfter: (length) => length }),
    ],
    ["says of no range what it is", bentRange({ headers: { "content-range": undefined } })],
    ["says of ranges what nobody can read", bentRange({ headers: { "content-range": "bytes all of it" } })],
    [
      "calls a range something else than bytes",
      bentRange({ headers: ({ start, end }) => ({ "content-range": `pages ${start}-${end - 1}/${SIZE}` }) }),
    ],
    [
      "does not know the total of a range",
      bentRange({ headers: ({ start, end }) => ({ "content-range": `bytes ${start}-${end - 1}/*` }) }),
    ],
    [
      "tells a total beyond what can be counted",
      bentRange({ headers: ({ start, end }) => ({ "content-range": `bytes ${start}-${end - 1}/9007199254740993` }) }),
    ],
    [
      "answers ranges with parts of several",
      bentRange({
        headers: { "content-type": "multipart/byteranges; boundary=x", "content-range": undefined },
        body: (bytes) =>
          Buffer.from(`\r\n--x\r\ncontent-type: text/plain\r\n\r\n${"y".repeat(bytes.length)}`.slice(0, bytes.length)),
      }),
    ],
    [
      "finds no range satisfiable",
      (object) =>
        lieToRanges(object, (exchange) =>
          exchange.head({ status: 416, headers: { "content-range": `bytes */${SIZE}`, "content-length": 0 } }),
        ),
    ],
    [
      "finds no range satisfiable, nor says why",
      (object) => lieToRanges(object, (exchange) => exchange.head({ status: 416, headers: { "content-length": 0 } })),
    ],
    [
      "sends at most a mebibyte for a range",
      bentRange((_exchange, { start, end }) => ({ span: { start, end: Math.min(end, start + MiB) } })),
    ],
    [
      "sends at most a mebibyte for a range, and closes",
      bentRange((_exchange, { start, end }) => ({
        span: { start, end: Math.min(end, start + MiB) },
        headers: { connection: "close" },
        cutAfter: MiB,
      })),
    ],
  ])("that %s gives the right bytes in the end", async (_lie, lie) => {
    const { object, outcome } = await ask(lie);
    await lab.expectRight(outcome, object);
  });

  const WRONG_RANGE: Refusal = {
    reason: "CONTENT_MISMATCH",
    cause: /announced|the source has|more than|another range/,
  };
  it.each<[string, (object: Content) => Answer, Refusal]>([
    [
      "begins a range one byte late, and says so",
      bentRange((_exchange, { start, end }) => ({ span: { start: Math.min(start + 1, end - 1), end } })),
      WRONG_RANGE,
    ],
    [
      "begins ranges at zero, and says so",
      bentRange((_exchange, { start, end }) => ({ span: { start: 0, end: end - start } })),
      WRONG_RANGE,
    ],
    [
      "adds a byte to the total",
      bentRange({ headers: ({ start, end }) => ({ "content-range": `bytes ${start}-${end - 1}/${SIZE + 1}` }) }),
      WRONG_RANGE,
    ],
    [
      "takes the end of a range for the total",
      bentRange((_exchange, { start, end }) => ({
        span: { start, end: Math.min(end, start + MiB) },
        headers: (span) => ({ "content-range": `bytes ${start}-${span.end - 1}/${span.end}` }),
      })),
      WRONG_RANGE,
    ],
    [
      "sends more than its range",
      bentRange({
        headers: ({ start, end }) => ({ "content-length": end - start + 1000 }),
        body: (bytes) => Buffer.concat([bytes, Buffer.alloc(1000)]),
      }),
      WRONG_RANGE,
    ],
    [
      "sends more than its range without saying how much",
      bentRange({
        headers: { "content-length": undefined, connection: "close" },
        body: (bytes) => Buffer.concat([bytes, Buffer.alloc(1000)]),
        cutAfter: (length) => length,
      }),
      WRONG_RANGE,
    ],
    [
      "ends a range before it begins",
      bentRange({ headers: ({ start }) => ({ "content-range": `bytes ${start}-${Math.max(0, start - 1)}/${SIZE}` }) }),
      WRONG_RANGE,
    ],
  ])("that %s brings the right bytes or none", async (_lie, lie, refusal) => {
    const { object, outcome } = await ask(lie);
    await lab.expectRightOrRefused(outcome, [object], refusal);
  });
});

it("a range that says where it begins but sends other bytes is found by the digest", async () => {
  const object = content();
  const shifted = cutFirst(
    object,
    lieToRanges(object, (exchange) =>
      reply(exchange, object, {
        body: (bytes) => Buffer.concat([bytes.subarray(1), Buffer.alloc(1)]),
      }),
    ),
  );
  const origin = await lab.origin(shifted);
  const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: object.sha256 });
  await lab.expectRightOrRefused(outcome, [object], { reason: "CONTENT_MISMATCH", cause: /do not match their digest/ });
});
