import { describe, expect, it } from "vitest";
import { backoffMs } from "../../src/lib/backoff.ts";
import { KeyedLock } from "../../src/lib/keyed-lock.ts";
import { Semaphore } from "../../src/lib/semaphore.ts";

describe("a semaphore", () => {
  it("lets so many in, and the others in their order", async () => {
    const semaphore = new Semaphore(2);
    const entered: number[] = [];
    const releases: (() => void)[] = [];
    const all = [1, 2, 3, 4].map(async (caller) => {
      releases.push(await semaphore.acquire());
      entered.push(caller);
    });
    await Promise.all(all.slice(0, 2));
    expect(entered).toEqual([1, 2]);
    // Giving back twice gives back once.
    releases[0]?.();
    releases[0]?.();
    await all[2];
    expect(entered).toEqual([1, 2, 3]);
    releases[1]?.();
    await all[3];
  });

  it("forgets who gave up", async () => {
    const semaphore = new Semaphore(1);
    const release = await semaphore.acquire();
    const stop = new AbortController();
    const waiting = expect(semaphore.acquire(stop.signal)).rejects.toThrow("enough");
    stop.abort(new Error("enough"));
    await waiting;
    release();
    await semaphore.acquire();
  });
});

describe("a keyed lock", () => {
  it("runs one at a time under one key, and others beside it", async () => {
    const lock = new KeyedLock();
    const gate = Promise.withResolvers<void>();
    const order: string[] = [];
    const first = lock.run("a", undefined, async () => {
      await gate.promise;
      order.push("a1");
    });
    const second = lock.run("a", undefined, async () => order.push("a2"));
    await lock.run("b", undefined, async () => order.push("b"));
    gate.resolve();
    await Promise.all([first, second]);
    expect(order).toEqual(["b", "a1", "a2"]);
  });

  it("is free again after a failure", async () => {
    const lock = new KeyedLock();
    await expect(lock.run("a", undefined, () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
    expect(await lock.run("a", undefined, async () => "free")).toBe("free");
  });
});

it("waits longer after each failure, up to the most, and never all alike", () => {
  const backoff = { baseMs: 100, maxMs: 1000 };
  expect([1, 2, 3, 4, 5, 50].map((failures) => backoffMs(backoff, failures, () => 0))).toEqual([
    50, 100, 200, 400, 500, 500,
  ]);
  expect(backoffMs(backoff, 1, () => 0.999)).toBeCloseTo(100, 0);
});
