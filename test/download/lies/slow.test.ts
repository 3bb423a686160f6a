import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Exchange } from "../../support/lying-origin.ts";
import { askedSpan, type Content, content, lieToGet, reply } from "./support/answers.ts";
import { createLab, type Lab } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

const LIMIT_MS = 8_000;

/** Sends the body byte by byte: never silent for long, never done. */
async function trickle(exchange: Exchange, object: Content): Promise<void> {
  await reply({ ...exchange, write: async () => {} }, object);
  const { start, end } = askedSpan(exchange.request, object.bytes.length) ?? { start: 0, end: undefined };
  for (const byte of object.bytes.subarray(start, end)) {
    if (!exchange.socket.writable) return;
    await exchange.write(Uint8Array.of(byte));
    await delay(20, undefined, { ref: false });
  }
}

it(
  "a connection that trickles while others would not is replaced",
  async () => {
    const object = content();
    const origin = await lab.origin(
      lieToGet(object, (exchange) =>
        exchange.request.nth === 0 ? trickle(exchange, object) : reply(exchange, object),
      ),
    );
    const outcome = await lab.fetch(`${origin.base}/model.bin`, {}, { timing: { stallMs: 200 } });
    await lab.expectRight(outcome, object);
  },
  LIMIT_MS,
);

it(
  "a mirror takes over from a first place that trickles",
  async () => {
    const object = content();
    const slow = await lab.origin(lieToGet(object, (exchange) => trickle(exchange, object)));
    const mirror = await lab.origin((exchange) => reply(exchange, object));
    const file = { mirrors: [`${mirror.base}/model.bin`], sha256: object.sha256 };
    await lab.expectRight(await lab.fetch(`${slow.base}/model.bin`, file, { timing: { stallMs: 200 } }), object);
  },
  LIMIT_MS,
);

it(
  "a source that brings a few bytes with each of its connections is given up, or at least not besieged",
  async () => {
    const object = content();
    const origin = await lab.origin(lieToGet(object, (exchange) => reply(exchange, object, { cutAfter: 3 })));
    const outcome = await lab.fetch(`${origin.base}/model.bin`);
    await lab.expectRefused(outcome, {
      reason: "SOURCE_UNAVAILABLE",
      cause: /broke off|ended/,
      host: origin.host,
    });
    expect(origin.requests.length).toBeLessThan(500);
  },
  LIMIT_MS,
);
