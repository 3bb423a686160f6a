import { expect, it } from "vitest";
import { joinLimiters, TokenBucket } from "../../src/download/rate-limit.ts";
import { manualClock } from "./support/manual-clock.ts";

const MiB = 1024 * 1024;
const never = new AbortController().signal;

it.each([
  [1000, 50, 1],
  [64 * 1024, 16 * 1024, 3],
  [2 * MiB, 100 * 1024, 8],
  [500 * MiB, 8 * MiB, 16],
])("lets %d bytes a second pass, within 5 %% of it, taken %d at once by %d callers", async (rate, size, callers) => {
  const clock = manualClock();
  const bucket = new TokenBucket(rate, clock);
  let passed = 0;
  const pump = async () => {
    for (;;) {
      await bucket.take(size, never);
      passed += size;
    }
  };
  for (let caller = 0; caller < callers; caller += 1) void pump();
  for (let second = 1; second <= 10; second += 1) {
    await clock.pass(1000);
    expect(passed).toBeLessThanOrEqual(rate * second * 1.05);
  }
  expect(passed).toBeGreaterThanOrEqual(rate * 10 * 0.95);
});

it("is taken in pieces of a twentieth of a second, neither tiny nor huge", () => {
  const quantum = (rate: number | undefined) => new TokenBucket(rate, manualClock()).quantum;
  expect([1024, MiB, 2 ** 40, undefined].map(quantum)).toEqual([16 * 1024, Math.floor(MiB / 20), 8 * MiB, 8 * MiB]);
  const [slow, fast] = [MiB, 4 * MiB].map((rate) => new TokenBucket(rate, manualClock()));
  expect(joinLimiters(fast, undefined, slow).quantum).toBe(Math.floor(MiB / 20));
  expect(joinLimiters(undefined).quantum).toBe(8 * MiB);
  slow?.limit(undefined);
  expect(joinLimiters(fast, slow).quantum).toBe(Math.floor(MiB / 5));
});

it("does not save up what was not used", async () => {
  const clock = manualClock();
  const bucket = new TokenBucket(1000, clock);
  await clock.pass(60_000);
  let second = false;
  await bucket.take(250, never);
  void bucket.take(1000, never).then(() => {
    second = true;
  });
  await clock.pass(900);
  expect(second).toBe(false);
  await clock.pass(200);
  expect(second).toBe(true);
});

it("serves callers in their order", async () => {
  const clock = manualClock();
  const bucket = new TokenBucket(1000, clock);
  const order: string[] = [];
  for (const name of ["a", "b", "c"]) void bucket.take(500, never).then(() => order.push(name));
  await clock.pass(600);
  expect(order).toEqual(["a"]);
  await clock.pass(2000);
  expect(order).toEqual(["a", "b", "c"]);
});

it("lets go of a caller that gave up", async () => {
  const clock = manualClock();
  const bucket = new TokenBucket(10, clock);
  const stop = new AbortController();
  const taking = expect(bucket.take(1000, stop.signal)).rejects.toThrow("enough");
  stop.abort(new Error("enough"));
  await taking;
});

it("obeys several limits at once", async () => {
  const clock = manualClock();
  const limiter = joinLimiters(new TokenBucket(1000, clock), undefined, new TokenBucket(100, clock));
  let passed = 0;
  const pump = async () => {
    while (passed < 10_000) {
      await limiter.take(10, never);
      passed += 10;
    }
  };
  void pump();
  await clock.pass(10_000);
  expect(passed).toBeGreaterThanOrEqual(990);
  expect(passed).toBeLessThanOrEqual(1040);
});

it("changes its rate for those who wait already", async () => {
  const clock = manualClock();
  const bucket = new TokenBucket(1, clock);
  let passed = false;
  void bucket.take(10_000, never).then(() => {
    passed = true;
  });
  await clock.pass(5_000);
  expect(passed).toBe(false);
  bucket.limit(100_000);
  await clock.pass(500);
  expect(passed).toBe(true);
  bucket.limit(undefined);
  await bucket.take(1e9, never);
});
