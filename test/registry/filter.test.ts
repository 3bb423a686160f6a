import { afterAll, beforeAll, expect, test } from "vitest";
import { matchesFilter } from "../../src/domain/matches-filter.ts";
import { MODEL_FILTER_FIELDS, parseFilter, WORKER_FILTER_FIELDS } from "../../src/domain/parse-filter.ts";
import { byId, newModel, openRegistry, type TestRegistry } from "./open-registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await openRegistry();
  await registry.models.create(newModel("Qwen/Small", { labels: { team: "search", "a/b": "1" } }), {});
  await registry.models.create(newModel("Qwen/Large", { labels: { team: "se'arch\"%_" }, type: "VISION" }), {});
  await registry.models.create(newModel("llama"), {});
  await registry.models.create(newModel("Qwen_x", { labels: { team: "" }, type: "VISION" }), {});
  await registry.sql`update models set create_time = '2026-01-01T00:00:00.500Z' where id = 'llama'`;
  for (const id of ["w1", "w2"]) {
    const capacity = { memoryBytes: 0, diskBytes: 0, maxModels: 0, gpus: [] };
    await registry.workers.register({ id, address: "", labels: {}, capacity });
  }
  await registry.workers.update("w2", { cordoned: true }, "");
});
afterAll(() => registry[Symbol.asyncDispose]());

test.each([
  ['id = "qwen/*"', ["Qwen/Large", "Qwen/Small"]],
  ["id = QWEN*", ["Qwen/Large", "Qwen/Small", "Qwen_x"]],
  ["id = Qwen_*", ["Qwen_x"]],
  ["id = LLAMA", ["llama"]],
  ["id != llama AND type = LLM", ["Qwen/Small"]],
  ["id = '*'", ["Qwen/Large", "Qwen/Small", "Qwen_x", "llama"]],
  ["labels.team = search", ["Qwen/Small"]],
  // What lacks the label differs from any text.
  ["labels.team != search", ["Qwen/Large", "Qwen_x", "llama"]],
  ["NOT labels.team = search", ["Qwen/Large", "Qwen_x", "llama"]],
  ["labels.team = se*", ["Qwen/Large", "Qwen/Small"]],
  ["labels.team != 'se*'", ["Qwen_x", "llama"]],
  [`labels.team = "se'arch\\"%_"`, ["Qwen/Large"]],
  ['labels.team = ""', ["Qwen_x"]],
  ["labels:team", ["Qwen/Large", "Qwen/Small", "Qwen_x"]],
  ["-labels:team", ["llama"]],
  ['labels:"a/b" AND labels."a/b" = 1', ["Qwen/Small"]],
  ["status = REGISTERED AND type = VISION OR id = llama", ["Qwen/Large", "Qwen_x", "llama"]],
  ["(status = REGISTERED AND type = VISION) OR id = llama", ["Qwen/Large", "Qwen_x", "llama"]],
  ["id = llama OR type = VISION AND labels:team", ["Qwen/Large", "Qwen_x"]],
  ['create_time = "2026-01-01T00:00:00.5Z"', ["llama"]],
  ['create_time <= "2026-01-01T01:00:00.500+01:00"', ["llama"]],
  ['create_time < "2026-01-01T00:00:00.500Z"', []],
  ['NOT (create_time > "2026-01-01T00:00:00.499Z" AND update_time > 2020-01-01T00:00:00Z)', []],
  ["status = FAILED", []],
])("models with %s", async (text, ids) => {
  const filter = parseFilter(text, MODEL_FILTER_FIELDS);
  const page = await registry.models.list({ size: 10, token: "", order: byId, filter });
  expect(page.items.map(({ id }) => id)).toEqual(ids);
  // Who watches sees the same.
  const all = await registry.models.list({ size: 10, token: "", order: byId });
  const matching = all.items.filter((model) => matchesFilter(filter, MODEL_FILTER_FIELDS, model));
  expect(matching.map(({ id }) => id)).toEqual(ids);
  expect(page.totalSize).toBe(ids.length);
});

test.each([
  ["cordoned = true", ["w2"]],
  ["cordoned != true AND draining = false", ["w1"]],
  ["status = ONLINE", ["w1", "w2"]],
])("workers with %s", async (text, ids) => {
  const filter = parseFilter(text, WORKER_FILTER_FIELDS);
  const page = await registry.workers.list({ size: 10, token: "", filter });
  expect(page.items.map(({ id }) => id)).toEqual(ids);
  const all = await registry.workers.list({ size: 10, token: "" });
  const matching = all.items.filter((worker) => matchesFilter(filter, WORKER_FILTER_FIELDS, worker));
  expect(matching.map(({ id }) => id)).toEqual(ids);
  expect(page).toMatchObject({ totalSize: ids.length, onlineCount: ids.length });
});
