import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { MODEL_FILTER_FIELDS, parseFilter, WORKER_FILTER_FIELDS } from "../../src/domain/parse-filter.ts";
import type { FeedEvent, WatchRequest } from "../../src/domain/ports/feeds.ts";
import { Database } from "../../src/registry/database.ts";
import { pruneEvents } from "../../src/registry/feed/retention.ts";
import {
  byId,
  digest,
  newModel,
  openRegistry,
  publishVersion,
  quiet,
  sequenceOf,
  type TestRegistry,
} from "./open-registry.ts";
import { applyEvents, brief, keyOf, Watching } from "./watching.ts";

const CAPACITY = 64;

let registry: TestRegistry;
beforeAll(async () => {
  registry = await openRegistry({ feed: { capacity: CAPACITY, bookmarkMs: 200 } });
});
afterAll(() => registry[Symbol.asyncDispose]());

const watches: Watching[] = [];
afterEach(async () => {
  await Promise.all(watches.splice(0).map((watch) => watch.stop()));
});

function watchModels(request: Omit<WatchRequest, "signal"> = {}, { feeds } = registry): Watching {
  const watch = new Watching((all) => feeds.watchModels(all), request);
  watches.push(watch);
  return watch;
}

const modelFilter = (text: string) => parseFilter(text, MODEL_FILTER_FIELDS);
const changesOf = (events: readonly FeedEvent[]) => events.filter(({ kind }) => kind !== "BOOKMARK").map(brief);

async function listModels() {
  return await registry.models.list({ size: 1000, token: "", order: byId });
}

test("a snapshot of one sequence, a bookmark, then each change as it is committed", async () => {
  await registry.models.create(newModel("first", { labels: { createTime: "x" } }), {});
  await publishVersion(registry, "first", [{ path: "a", size: 1, digest: digest("a") }]);
  await registry.models.setAlias("first", "production", 1);
  const watch = watchModels({ filter: modelFilter('id = "first"') });
  const sequence = await sequenceOf(registry.sql);
  const snapshot = await watch.upTo(sequence);
  expect(snapshot.map(brief)).toEqual([
    "SNAPSHOT model first",
    "SNAPSHOT version first@1",
    "SNAPSHOT alias first@production",
    expect.stringContaining("SNAPSHOT download "),
    "BOOKMARK",
  ]);
  expect(new Set(snapshot.map((event) => event.sequence))).toEqual(new Set([sequence]));

  const updated = await registry.models.update("first", { description: "changed" }, "");
  await registry.models.deleteAlias("first", "production");
  await registry.models.delete("first", { etag: "", force: true });
  const events = await watch.until((event) => brief(event) === "DELETED model first");
  expect(events.filter(({ kind }) => kind !== "BOOKMARK")[0]).toMatchObject({ kind: "UPDATED", resource: updated });
  expect(changesOf(events)).toEqual([
    "UPDATED model first",
    "DELETED alias first@production",
    "UPDATED model first",
    expect.stringContaining("DELETED download "),
    "DELETED version first@1",
    "DELETED model first",
  ]);
});

test("who breaks off again and again has what the lists say, while 8 writers of two processes commit", async () => {
  const other = await registry.another();
  const page = await listModels();
  const held = new Map<string, unknown>(page.items.map((model) => [`model ${model.id}`, model]));
  let writing = true;
  const watching = (async () => {
    const seen: number[] = [];
    let sequence = page.sequence;
    for (let round = 0; ; round++) {
      const { feeds } = round % 2 === 0 ? registry : other;
      let last = false;
      for await (const event of feeds.watchModels({ afterSequence: sequence, signal: AbortSignal.timeout(10_000) })) {
        applyEvents(held, [event]);
        sequence = event.sequence;
        if (event.kind !== "BOOKMARK") seen.push(sequence);
        last = event.kind === "BOOKMARK" && !writing && sequence === (await sequenceOf(registry.sql));
        // In the middle of what is there, and from far behind.
        if (last || seen.length % 17 === 0) break;
      }
      if (last) return seen;
    }
  })();
  const whole = watchModels();
  await Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      const { models } = writer % 2 === 0 ? registry : other;
      for (let round = 0; round < 12; round++) {
        await models.create(newModel(`w${writer}-${round % 5}`), {}).catch(() => {});
        await models.update(`w${writer}-${round % 5}`, { description: `${round}` }, "");
        if (round % 3 === 0) await models.delete(`w${writer}-${round % 5}`, { etag: "", force: false });
      }
    }),
  );
  writing = false;
  const seen = await watching;
  const after = Array.from({ length: seen.length }, (_, index) => page.sequence + 1 + index);
  expect(seen).toEqual(after);
  const end = await listModels();
  const expected = Object.fromEntries(end.items.map((model) => [`model ${model.id}`, model]));
  expect(Object.fromEntries(held)).toEqual(expected);
  const fromSnapshot = new Map<string, unknown>();
  applyEvents(fromSnapshot, await whole.upTo(end.sequence));
  expect(Object.fromEntries([...fromSnapshot].filter(([key]) => key.startsWith("model ")))).toEqual(expected);
});

test("what enters a filter is created with all that belongs to it, and what leaves is deleted", async () => {
  await registry.models.create(newModel("walker"), {});
  await publishVersion(registry, "walker", [{ path: "a", size: 1, digest: digest("b") }]);
  const filter = modelFilter('labels.team = "vision"');
  const watch = watchModels({ filter });
  await watch.upTo(0);
  const label = (team: string) => registry.models.update("walker", { labels: { team } }, "");
  await registry.models.setAlias("walker", "unseen", 1);
  await label("vision");
  const entering = await watch.until((event) => brief(event) === "CREATED model walker");
  await registry.models.setAlias("walker", "seen", 1);
  await label("speech");
  await registry.models.setAlias("walker", "unseen-too", 1);
  await registry.models.create(newModel("native", { labels: { team: "vision" } }), {});
  const events = [...entering, ...(await watch.upTo(await sequenceOf(registry.sql)))];
  const entry = [
    "CREATED version walker@1",
    "CREATED alias walker@unseen",
    expect.stringContaining("CREATED download "),
    "CREATED model walker",
  ];
  expect(changesOf(events)).toEqual([
    ...entry,
    "CREATED alias walker@seen",
    "UPDATED model walker",
    "DELETED model walker",
    "CREATED model native",
  ]);
  const entered = events.find((event) => brief(event) === "CREATED model walker")?.sequence ?? 0;
  const before = events.filter((event) => event.kind !== "BOOKMARK").slice(0, 3);
  expect(before.map(({ sequence }) => sequence)).toEqual([entered - 1, entered - 1, entered - 1]);

  // Who broke off just before has the same again; who broke off in between is told that it left.
  const again = await watchModels({ filter, afterSequence: entered - 1 }).upTo(await sequenceOf(registry.sql));
  expect(changesOf(again)).toEqual(expect.arrayContaining(["CREATED model walker", "DELETED model walker"]));
  const later = await watchModels({ filter, afterSequence: entered }).upTo(await sequenceOf(registry.sql));
  expect(changesOf(later).slice(0, 3)).toEqual([
    "CREATED alias walker@seen",
    "UPDATED model walker",
    "DELETED model walker",
  ]);
  // Who resumes after it left hears nothing of it.
  const left = events.find((event) => brief(event) === "DELETED model walker")?.sequence ?? 0;
  const gone = await watchModels({ filter, afterSequence: left }).upTo(await sequenceOf(registry.sql));
  expect(changesOf(gone)).toEqual(["CREATED model native"]);
});

test("workers come with their assignments, and heartbeats without news make no event", async () => {
  await registry.models.create(newModel("served"), {});
  await publishVersion(registry, "served", [{ path: "a", size: 1, digest: digest("c") }]);
  const capacity = { memoryBytes: 0, diskBytes: 0, maxModels: 0, gpus: [] };
  const filter = parseFilter("status = ONLINE AND NOT cordoned = true", WORKER_FILTER_FIELDS);
  const watch = new Watching((all) => registry.feeds.watchWorkers(all), { filter });
  watches.push(watch);
  await watch.upTo(0);
  const events: FeedEvent[] = [];
  const comes = async (wanted: string) => {
    events.push(...(await watch.until((event) => brief(event) === wanted)));
  };
  const { sessionToken } = await registry.workers.register({ id: "w1", address: "", labels: {}, capacity });
  const launch = { engine: "", args: [], env: {} };
  const wish = { ref: { modelId: "served" }, workerId: "w1", target: "SERVING", launch, dryRun: false } as const;
  const { id } = await registry.workers.assign(wish);
  await registry.workers.heartbeat({ workerId: "w1", sessionToken, assignments: [] });
  await registry.workers.update("w1", { cordoned: true }, "");
  await comes("DELETED worker w1");
  await registry.workers.update("w1", { cordoned: false }, "");
  await comes("CREATED worker w1");
  await registry.workers.delete("w1");
  await comes("DELETED worker w1");
  expect(changesOf(events)).toEqual([
    "CREATED worker w1",
    `CREATED assignment ${id}`,
    "DELETED worker w1",
    `CREATED assignment ${id}`,
    "CREATED worker w1",
    `DELETED assignment ${id}`,
    "DELETED worker w1",
  ]);
});

test("a sequence that the feed no longer has, or does not have yet, is out of range", async () => {
  await registry.models.create(newModel("old"), {});
  const current = await sequenceOf(registry.sql);
  for (let change = 0; change < 5; change++) await registry.models.update("old", { description: `${change}` }, "");
  const database = new Database({ connection: registry.database.connection, log: quiet });
  database.open();
  try {
    const day = 86_400_000;
    expect(await pruneEvents(database, "a", { maxAgeMs: day, maxCount: 4 })).toBeGreaterThan(1);
    expect(await pruneEvents(database, "b", { maxAgeMs: day, maxCount: 1 })).toBe(0);
    const expired = watchModels({ afterSequence: current });
    expect(await expired.ended).toMatchObject({ reason: "SEQUENCE_EXPIRED" });
    const kept = await watchModels({ afterSequence: current + 1 }).upTo(current + 5);
    expect(changesOf(kept)).toHaveLength(4);
    const future = await watchModels({ afterSequence: current + 6 }).ended;
    expect(future).toMatchObject({ reason: "SEQUENCE_EXPIRED", message: expect.stringContaining("not there yet") });

    // With a filter, what did not change since before the feed begins is told as it may be.
    const filter = modelFilter('id = "old"');
    const unsure = await watchModels({ afterSequence: current + 1, filter }).upTo(current + 5);
    expect(changesOf(unsure)).toEqual(["CREATED model old", ...Array(3).fill("UPDATED model old")]);

    expect(await pruneEvents(database, "a", { maxAgeMs: -1000, maxCount: 1000 })).toBe(4);
    const [atEnd] = await watchModels({ afterSequence: current + 5 }).upTo(current + 5);
    expect(atEnd?.kind).toBe("BOOKMARK");
    expect(await watchModels({ afterSequence: current + 4 }).ended).toMatchObject({ reason: "SEQUENCE_EXPIRED" });
  } finally {
    await database.close();
  }
});

test("a watcher that takes nothing is cut off, and goes on from where it was", async () => {
  await registry.models.create(newModel("busy"), {});
  const controller = new AbortController();
  const slow = registry.feeds
    .watchModels({
      afterSequence: await sequenceOf(registry.sql),
      signal: controller.signal,
    })
    [Symbol.asyncIterator]();
  const start = (await slow.next()).value?.sequence ?? 0;
  const quick = watchModels({ afterSequence: start });
  for (let change = 0; change < 2 * CAPACITY; change++) {
    await registry.models.update("busy", { description: `${change}` }, "");
  }
  await quick.upTo(start + 2 * CAPACITY);
  await expect(slow.next()).rejects.toMatchObject({ reason: "WATCHER_TOO_SLOW", metadata: { sequence: `${start}` } });
  const resumed = await watchModels({ afterSequence: start }).upTo(start + 2 * CAPACITY);
  expect(changesOf(resumed)).toHaveLength(2 * CAPACITY);
  controller.abort();
});

/** The connections that listen, of this database. */
const listeners = () => registry.sql<{ pid: number }[]>`
  select pid from pg_stat_activity
  where datname = current_database() and application_name = 'model-manager listener' and query ilike 'listen%'`;

test("nothing is lost when the connection that listens is killed", async () => {
  const watch = watchModels();
  await watch.upTo(0);
  await expect.poll(listeners, { interval: 20 }).toHaveLength(1);
  const [former] = await listeners();
  await registry.sql`select pg_terminate_backend(${former?.pid ?? 0}, 5000)`;
  await registry.models.create(newModel("unheard"), {});
  await watch.until((event) => event.kind === "CREATED" && keyOf(event) === "model unheard");
  await expect
    .poll(async () => (await listeners()).filter(({ pid }) => pid !== former?.pid), { interval: 20 })
    .toHaveLength(1);
  await registry.models.create(newModel("heard"), {});
  const began = performance.now();
  await watch.until((event) => event.kind === "CREATED" && keyOf(event) === "model heard");
  expect(performance.now() - began).toBeLessThan(800);
});

test("what no notice tells of is found all the same, and the connection that heard nothing is made again", async () => {
  const watch = watchModels();
  await watch.upTo(0);
  await expect.poll(listeners, { interval: 20 }).toHaveLength(1);
  const [former] = await listeners();
  await registry.models.create(newModel("silent"), {});
  const start = await sequenceOf(registry.sql);
  for (let round = 1; round <= 3; round++) {
    await registry.sql`
      with counter as (update event_counter set sequence = sequence + 1 returning sequence)
      insert into events select counter.sequence, now(), 'UPDATED', noun, resource from counter, events
      where events.sequence = ${start}`;
    await watch.until((event) => event.sequence === start + round);
  }
  await expect.poll(async () => (await listeners()).map(({ pid }) => pid), { interval: 20 }).not.toContain(former?.pid);
  await expect.poll(listeners, { interval: 20, timeout: 3000 }).toHaveLength(1);
});
