import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Answer, LyingOrigin } from "../../support/lying-origin.ts";
import { type Bend, type Content, content, lieToGet, MiB, reply, SIZE } from "./support/answers.ts";
import { createLab, type Lab, type Outcome } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

const LONG_AGO = "Mon, 05 Jan 2026 10:00:00 GMT";
const LATER = "Tue, 06 Jan 2026 10:00:00 GMT";
const CHANGED = {
  reason: ["CONTENT_MISMATCH", "SOURCE_UNAVAILABLE"],
  cause: /announced|the source has|do not match|ended|changed|broke off/,
} as const;

/** Serves the first object until a third of it is sent, breaks off there, and serves the second from then on. */
function changing(before: Content, after: Content, bend: Bend = {}): Answer {
  let changed = false;
  return async (exchange) => {
    const { method } = exchange.request;
    if (method !== "GET" || changed) return reply(exchange, changed ? after : before, bend);
    await reply(exchange, before, { ...bend, cutAfter: (length) => Math.min(length, Math.floor(SIZE / 3)) });
    changed = true;
  };
}

/** Serves the second object to every other GET, each in pieces of at most a mebibyte. */
function flickering(one: Content, two: Content, bend: Bend = {}): Answer {
  return lieToGet(one, (exchange) => {
    const object = exchange.request.nth % 2 === 0 ? one : two;
    return reply(exchange, object, { ...bend, cutAfter: (length) => Math.min(length, MiB) });
  });
}

async function fetch(answer: Answer, sha256 = ""): Promise<{ origin: LyingOrigin; outcome: Outcome }> {
  const origin = await lab.origin(answer);
  return { origin, outcome: await lab.fetch(`${origin.base}/model.bin`, { sha256 }) };
}

const named = ({ etag, modified }: Names, size = SIZE) => content({ etag, modified, size });

type Names = Pick<Content, "etag" | "modified">;
/** How the object before and the one after are named, and how the server compares what it is asked about. */
type Naming = [how: string, before: Names, after: Names, bend: Bend];
const COMMON: Naming[] = [
  ["by strong etags", { etag: '"one"' }, { etag: '"two"' }, {}],
  ["by strong etags that are not compared", { etag: '"one"' }, { etag: '"two"' }, { anyVersion: true }],
  ["by weak etags that are not compared", { etag: 'W/"one"' }, { etag: 'W/"two"' }, { anyVersion: true }],
  ["by dates that are not compared", { modified: LONG_AGO }, { modified: LATER }, { anyVersion: true }],
  ["by nothing", {}, {}, {}],
];
const ODD: Naming[] = [
  ["by weak etags", { etag: 'W/"one"' }, { etag: 'W/"two"' }, {}],
  ["by one weak etag", { etag: 'W/"same"' }, { etag: 'W/"same"' }, { anyVersion: true }],
  ["by dates", { modified: LONG_AGO }, { modified: LATER }, {}],
  ["by nothing at first, then by an etag", {}, { etag: '"two"' }, { anyVersion: true }],
  ["by etags without quotes", { etag: "one" }, { etag: "two" }, { anyVersion: true }],
  ["by empty etags", { etag: "" }, { etag: "" }, { anyVersion: true }],
];

describe("an object that changes in the middle, named", () => {
  it.each([...COMMON, ...ODD])("%s, is never mixed with the new one", async (_, first, second, bend) => {
    const [before, after] = [named(first), named(second)];
    const { outcome } = await fetch(changing(before, after, bend));
    await lab.expectRight(outcome, before, after);
  });

  it.each(COMMON)("%s, is never mixed with one of another size", async (_, first, second, bend) => {
    const [before, after] = [named(first), named(second, SIZE + 4321)];
    const { outcome } = await fetch(changing(before, after, bend));
    await lab.expectRightOrRefused(outcome, [before, after], CHANGED);
  });

  it.each(COMMON)("%s, is never mixed though both come in turns", async (_, first, second, bend) => {
    const [one, two] = [named(first), named(second)];
    const { outcome } = await fetch(flickering(one, two, bend));
    await lab.expectRightOrRefused(outcome, [one, two], CHANGED);
  });
});

describe("an object that changes in the middle and whose digest is known", () => {
  it.each(COMMON)("(%s) is right if it is the new one", async (_, first, second, bend) => {
    const [before, after] = [named(first), named(second)];
    const { outcome } = await fetch(changing(before, after, bend), after.sha256);
    await lab.expectRight(outcome, after);
  });

  it.each(COMMON)("(%s) is refused if it was the old one", async (_, first, second, bend) => {
    const [before, after] = [named(first), named(second)];
    const { outcome } = await fetch(changing(before, after, bend), before.sha256);
    await lab.expectRefused(outcome, CHANGED);
    expect(await lab.cluster.store.stat(`sha256:${before.sha256}`)).toBeUndefined();
  });
});

describe("one object on machines that name it differently", () => {
  it.each([
    ["by etags", () => ({ etag: `"${Math.random()}"` })],
    ["by weak etags", () => ({ etag: `W/"${Math.random()}"` })],
    ["by dates", () => ({ etag: undefined, modified: new Date(Date.now() - 1e6 - Math.random() * 1e9).toUTCString() })],
  ])("(%s) is brought whole if its digest is known", async (_, names) => {
    const object = content();
    const { outcome } = await fetch((exchange) => {
      const isFirst = exchange.request.method === "GET" && exchange.request.nth === 0;
      return reply(exchange, { ...object, ...names() }, isFirst ? { cutAfter: (length) => length / 2 } : {});
    }, object.sha256);
    await lab.expectRight(outcome, object);
  });

  it("is brought whole or not at all if its digest is not known", async () => {
    const object = content();
    const { outcome } = await fetch((exchange) => reply(exchange, { ...object, etag: `"${Math.random()}"` }));
    await lab.expectRight(outcome, object);
  });
});

it("an object that is another one at every request comes to an end", async () => {
  const { outcome } = await fetch((exchange) => {
    const fresh = content();
    return reply(exchange, fresh, { cutAfter: (length) => Math.floor(length / 2) });
  });
  await lab.expectRefused(outcome, CHANGED);
});
