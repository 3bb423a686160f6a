import postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  byId,
  digest,
  eventsAfter,
  newModel,
  openRegistry,
  publishVersion,
  sequenceOf,
  type TestRegistry,
} from "./open-registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await openRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

test("the sequence has no holes and follows the commits, under 20 writers of two processes", async () => {
  const other = await registry.another();
  const before = await sequenceOf(registry.sql);
  let writing = true;
  // A reader that goes on from where it was must never miss what commits later with a lower number.
  const reading = (async () => {
    const seen: number[] = [];
    for (let last = before, done = false; !done; ) {
      done = !writing;
      for (const { sequence } of await eventsAfter(registry.sql, last)) {
        seen.push(sequence);
        last = sequence;
      }
    }
    return seen;
  })();
  await Promise.all(
    Array.from({ length: 20 }, async (_, writer) => {
      const { models } = writer % 2 === 0 ? registry : other;
      for (let round = 0; round < 5; round++) {
        await models.create(newModel(`w${writer}-${round}`), {});
        await models.update(`w${writer}-${round}`, { description: "changed" }, "");
        await models.create(newModel(`w${writer}-${round}`), {}).catch(() => {});
      }
    }),
  );
  writing = false;
  const expected = Array.from({ length: 200 }, (_, index) => before + 1 + index);
  expect(await reading).toEqual(expected);
  expect(await sequenceOf(registry.sql)).toBe(before + 200);
  const times = await registry.sql<{ back: number }[]>`
    select count(*)::integer as back from events a join events b on b.sequence = a.sequence + 1 where b.time < a.time`;
  expect(times[0]?.back).toBe(0);
});

test("a list's sequence is that of what it shows", async () => {
  const writing = (async () => {
    for (let round = 0; round < 40; round++) await registry.models.create(newModel(`l-${round}`), {});
  })();
  for (let round = 0; round < 20; round++) {
    const filter = { kind: "compare", field: "id", operator: "prefix", value: "l-" } as const;
    const page = await registry.models.list({ size: 1000, token: "", order: byId, filter });
    const earlier = await registry.sql<{ count: number }[]>`select count(*)::integer from events
      where sequence <= ${page.sequence} and noun = 'model' and kind = 'CREATED' and resource ->> 'id' like 'l-%'`;
    expect(page.items).toHaveLength(earlier[0]?.count ?? -1);
    expect(page.totalSize).toBe(page.items.length);
  }
  await writing;
});

test("an event holds the resource as it is read", async () => {
  await registry.models.create(newModel("whole", { labels: { a: "b" } }), {});
  const before = await sequenceOf(registry.sql);
  const { files, ...version } = await publishVersion(registry, "whole", [{ path: "a", size: 1, digest: digest("a") }]);
  expect(files).toHaveLength(1);
  const events = await eventsAfter(registry.sql, before);
  const asJson = (value: unknown) => JSON.parse(JSON.stringify(value));
  expect(events.findLast(({ noun }) => noun === "version")?.resource).toEqual(asJson(version));
  expect(events.findLast(({ noun }) => noun === "model")?.resource).toEqual(asJson(await registry.models.get("whole")));
  const download = events.findLast(({ noun }) => noun === "download")?.resource;
  expect(download).toEqual(asJson(await registry.jobs.get(String(download?.id))));
});

test("listeners are told after the commit, without a payload", async () => {
  const listener = postgres({ ...registry.database.connection, max: 1 });
  try {
    const { promise: told, resolve } = Promise.withResolvers<string>();
    await listener.listen("model_manager_events", resolve);
    await registry.models.create(newModel("announced"), {});
    expect(await told).toBe("");
  } finally {
    await listener.end();
  }
});
