import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Answer, LyingOrigin } from "../../support/lying-origin.ts";
import {
  askedSpan,
  type Content,
  content,
  falsified,
  lieToGet,
  lieToRanges,
  MiB,
  reply,
  SIZE,
} from "./support/answers.ts";
import { createLab, type Lab, type Refusal } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

type Lie = (object: Content) => Answer;

const honest: Lie = (object) => (exchange) => reply(exchange, object);
const status =
  (code: number): Lie =>
  () =>
  (exchange) =>
    exchange.head({ status: code, headers: { "content-length": 0 } });
const lying: Lie = (object) =>
  lieToGet(object, (exchange) => reply(exchange, { ...object, bytes: falsified(object.bytes) }));
const otherSize: Lie = () => {
  const other = content({ size: SIZE + 999 });
  return (exchange) => reply(exchange, other);
};
const slow: Lie = (object) =>
  lieToGet(object, async (exchange) => {
    await delay(300, undefined, { ref: false });
    await reply(exchange, object);
  });
const breaking =
  (after: number): Lie =>
  (object) =>
    lieToGet(object, (exchange) => reply(exchange, object, { cutAfter: after }));
const noRanges: Lie = (object) =>
  lieToRanges(object, (exchange) => exchange.head({ status: 403, headers: { "content-length": 0 } }));
const oneCutWithoutRanges: Lie = (object) =>
  lieToGet(object, (exchange) => reply(exchange, object, { whole: true, cutAfter: 2 * MiB }));

async function ask(lies: Lie[], known: boolean) {
  const object = content();
  const origins: LyingOrigin[] = [];
  for (const lie of lies) origins.push(await lab.origin(lie(object)));
  const [first, ...mirrors] = origins.map(({ base }) => `${base}/model.bin`);
  const outcome = await lab.fetch(first ?? "", { mirrors, sha256: known ? object.sha256 : "" });
  return { object, origins, outcome };
}

describe("of several places", () => {
  it.each<[string, Lie[], boolean]>([
    ["the first breaks off before each answer", [breaking(0), honest], true],
    ["the first breaks off before each answer, and no digest is known", [breaking(0), honest], false],
    ["the first is not there", [status(404), honest], false],
    ["the first cannot answer", [status(503), honest], false],
    ["all but the last cannot answer", [status(503), status(500), status(403), honest], false],
    ["the first lies about the bytes", [lying, honest], true],
    ["all but the last lie about the bytes", [lying, lying, honest], true],
    ["the last lies about the bytes", [honest, lying], true],
    ["the second has another size", [honest, otherSize], true],
    ["the second has another size, and no digest is known", [honest, otherSize], false],
    ["the first breaks off, the second has another size, the third is right", [breaking(MiB), otherSize, honest], true],
    ["the second is slow", [honest, slow], true],
    ["the first is slow to answer", [slow, honest], true],
    ["the first allows no ranges", [noRanges, honest], true],
    ["the first breaks off and never goes on", [oneCutWithoutRanges, honest], true],
    ["the first breaks off and never goes on, and no digest is known", [oneCutWithoutRanges, honest], false],
    ["all break off", [breaking(MiB), breaking(MiB), breaking(MiB)], true],
    ["all break off, and no digest is known", [breaking(MiB), breaking(MiB)], false],
  ])("%s: the right bytes come", async (_, lies, known) => {
    const { object, outcome } = await ask(lies, known);
    await lab.expectRight(outcome, object);
  });

  it("each of which has other bytes and no digest is known, one is taken whole", async () => {
    const objects = [content(), content()];
    const places = await Promise.all(
      objects.map((object) => lab.origin((exchange) => reply(exchange, object, { cutAfter: 2 * MiB }))),
    );
    const [url = "", mirror = ""] = places.map(({ base }) => `${base}/model.bin`);
    await lab.expectRight(await lab.fetch(url, { mirrors: [mirror] }), ...objects);
  });

  it.each<[string, Lie[], boolean, Refusal]>([
    ["all are gone", [status(404), status(410)], false, { reason: "SOURCE_FILE_NOT_FOUND", cause: /not there/ }],
    ["all cannot answer", [status(503), status(502)], true, { reason: "SOURCE_UNAVAILABLE", cause: /cannot answer/ }],
    ["all refuse", [status(401), status(403)], true, { reason: "SOURCE_FORBIDDEN", cause: /may not be read/ }],
    [
      "all lie about the bytes",
      [lying, lying, lying],
      true,
      { reason: "CONTENT_MISMATCH", cause: /do not match their digest/ },
    ],
    [
      "the only honest one is gone",
      [lying, status(404)],
      true,
      { reason: ["CONTENT_MISMATCH", "SOURCE_FILE_NOT_FOUND"], cause: /do not match|not there/ },
    ],
    [
      "all break off at once",
      [breaking(0), breaking(0)],
      false,
      { reason: "SOURCE_UNAVAILABLE", cause: /broke off|ended/ },
    ],
  ])("%s: none is believed", async (_, lies, known, refusal) => {
    const { object, outcome } = await ask(lies, known);
    await lab.expectRefused(outcome, refusal);
    expect(await lab.cluster.store.stat(`sha256:${object.sha256}`)).toBeUndefined();
  });

  it("a dead one is passed by", async () => {
    const object = content();
    const dead = await lab.origin(() => {});
    await dead.close();
    const mirror = await lab.origin((exchange) => reply(exchange, object));
    const outcome = await lab.fetch(`${dead.base}/model.bin`, { mirrors: [`${mirror.base}/model.bin`] });
    await lab.expectRight(outcome, object);
  });

  it("one that dies in the middle is passed by", async () => {
    const object = content();
    const dying: LyingOrigin = await lab.origin(
      lieToGet(object, async (exchange) => {
        const { start } = askedSpan(exchange.request, SIZE) ?? { start: 0 };
        await reply({ ...exchange, end: async () => {} }, object, { cutAfter: 2 * MiB });
        if (start < SIZE) void dying.close();
      }),
    );
    const mirror = await lab.origin((exchange) => reply(exchange, object));
    const file = { mirrors: [`${mirror.base}/model.bin`], sha256: object.sha256 };
    await lab.expectRight(await lab.fetch(`${dying.base}/model.bin`, file), object);
  });

  it("the token goes to the first alone", async () => {
    const object = content();
    const first = await lab.origin((exchange) => reply(exchange, object, { cutAfter: MiB }));
    const mirror = await lab.origin((exchange) => reply(exchange, object, { cutAfter: MiB }));
    const call = { credential: { token: "s3cret" } };
    const file = { mirrors: [`${mirror.base}/model.bin`], sha256: object.sha256 };
    await lab.expectRight(await lab.fetch(`${first.base}/model.bin`, file, { call }), object);
    const proofs = ({ requests }: LyingOrigin) => new Set(requests.map(({ headers }) => headers.authorization));
    expect(proofs(first)).toEqual(new Set(["Bearer s3cret"]));
    expect([...proofs(mirror)].filter((proof) => proof !== undefined)).toEqual([]);
  });
});
