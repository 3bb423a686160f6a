import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Answer } from "../../support/lying-origin.ts";
import { type Content, content, falsified, lieToGet, MiB, reply, SIZE } from "./support/answers.ts";
import { createLab, type Lab } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

/** Sends a third of the object, and to everybody later a refusal. */
function thirdThenRefusal(object: Content): Answer {
  return lieToGet(object, (exchange) =>
    exchange.request.nth === 0
      ? reply(exchange, object, { cutAfter: Math.floor(SIZE / 3) })
      : exchange.head({ status: 403, headers: { "content-length": 0 } }),
  );
}

const falsely = (object: Content): Answer =>
  lieToGet(object, (exchange) => reply(exchange, { ...object, bytes: falsified(object.bytes) }));
const falselyThenRefusing = (object: Content): Answer =>
  thirdThenRefusal({ ...object, bytes: falsified(object.bytes, MiB) });
const tooLong = (object: Content): Answer =>
  lieToGet(object, (exchange) =>
    reply(exchange, object, {
      whole: true,
      headers: { "content-length": undefined },
      body: (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.alloc(MiB)]),
      cutAfter: (length) => length,
    }),
  );

/** A server that answers in one way first, and in another one when it is told to. */
async function turncoat(first: Answer, then: Answer) {
  let answer = first;
  const origin = await lab.origin((exchange) => answer(exchange));
  const turn = () => {
    answer = then;
  };
  return { url: `${origin.base}/model.bin`, turn };
}

describe("what a refused download left", () => {
  it.each<[string, (object: Content) => Answer, boolean, Partial<Content>]>([
    ["breaks off", thirdThenRefusal, true, {}],
    ["breaks off, and no digest is known", thirdThenRefusal, false, {}],
    ["breaks off, and neither digest nor etag is known", thirdThenRefusal, false, { etag: undefined }],
    ["sends false bytes", falsely, true, {}],
    ["sends false bytes and breaks off", falselyThenRefusing, true, {}],
    ["sends too much", tooLong, true, {}],
    ["sends too much, and no digest is known", tooLong, false, {}],
  ])("by a server that %s does not spoil the next one", async (_, lie, known, names) => {
    const object = content(names);
    const { url, turn } = await turncoat(lie(object), (exchange) => reply(exchange, object));
    const file = { sha256: known ? object.sha256 : "" };
    expect((await lab.fetch(url, file)).last).toMatchObject({ state: "FAILED" });
    turn();
    await lab.expectRight(await lab.fetch(url, file), object);
  });

  it.each<[string, Partial<Content>, Partial<Content>]>([
    ["by etags", { etag: '"one"' }, { etag: '"two"' }],
    ["by weak etags", { etag: 'W/"one"' }, { etag: 'W/"two"' }],
    ["by nothing", { etag: undefined }, { etag: undefined }],
  ])("of an object that is another one by then, named %s, is not mixed with it", async (_, first, second) => {
    const [before, after] = [content(first), content(second)];
    const { url, turn } = await turncoat(thirdThenRefusal(before), (exchange) =>
      reply(exchange, after, { anyVersion: true }),
    );
    expect((await lab.fetch(url)).last).toMatchObject({ state: "FAILED" });
    turn();
    await lab.expectRight(await lab.fetch(url), after);
  });
});

it("while bytes are still to come, nothing of them is to be seen", async () => {
  const object = content();
  const { promise: looked, resolve, reject } = Promise.withResolvers<void>();
  const look = async () => {
    await lab.expectVerifiedStore();
    expect(await lab.cluster.store.stat(`sha256:${object.sha256}`)).toBeUndefined();
    const newest = { size: 1, token: "", order: { field: "create_time", descending: true } } as const;
    const { items } = await lab.cluster.models.list(newest);
    expect(items).toMatchObject([{ status: "DOWNLOADING" }]);
    expect(items[0]?.latestVersion).toBeUndefined();
  };
  const origin = await lab.origin(
    lieToGet(object, async (exchange) => {
      if (exchange.request.nth > 0) await looked;
      else {
        await reply({ ...exchange, end: async () => {} }, object, { cutAfter: (length) => length - 1 });
        await delay(100);
        await look().then(resolve, reject);
        return exchange.reset();
      }
      await reply(exchange, object);
    }),
  );
  const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: object.sha256 });
  await looked;
  await lab.expectRight(outcome, object);
});
