import { expect, it } from "vitest";
import { mapConcurrently } from "../../src/lib/map-concurrently.ts";

const never = new AbortController().signal;

it("answers in the order of the items, with so many at work at once", async () => {
  let working = 0;
  let most = 0;
  const results = await mapConcurrently([3, 1, 2, 0], 2, never, async (item) => {
    working += 1;
    most = Math.max(most, working);
    for (let turn = 0; turn < item; turn += 1) await Promise.resolve();
    working -= 1;
    return item * 10;
  });
  expect(results).toEqual([30, 10, 20, 0]);
  expect(most).toBe(2);
});

it("tells those at work of a failure, and throws it when they have ended", async () => {
  const started: number[] = [];
  let ended = false;
  const mapping = mapConcurrently([0, 1, 2], 2, never, async (item, _index, signal) => {
    started.push(item);
    if (item === 0) throw new Error("first");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    await new Promise((resolve) => setImmediate(resolve));
    ended = true;
    throw new Error("second");
  });
  await expect(mapping).rejects.toThrow("first");
  expect(ended).toBe(true);
  expect(started).toEqual([0, 1]);
});

it("ends with the reason of its signal", async () => {
  const stop = new AbortController();
  const mapping = mapConcurrently([1, 2], 1, stop.signal, async () => stop.abort(new Error("enough")));
  await expect(mapping).rejects.toThrow("enough");
});
