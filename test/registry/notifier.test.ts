import { expect, test } from "vitest";
import { Notifier } from "../../src/registry/notifier.ts";
import { quiet } from "./open-registry.ts";

test.each([0, 1, 2, 3, 4, 5, 6])("a wish %i turns after the last one is not lost", async (turns) => {
  let sent = 0;
  const notifier = new Notifier(async () => {
    sent += 1;
  }, quiet);
  notifier.notify();
  for (let turn = 0; turn < turns; turn++) await null;
  const before = sent;
  notifier.notify();
  await notifier.close();
  await new Promise(setImmediate);
  expect(sent).toBeGreaterThan(before === 0 ? 0 : 1);
});

test("wishes that come while one is being sent make one more", async () => {
  const sending: (() => void)[] = [];
  const notifier = new Notifier(() => new Promise<void>((resolve) => sending.push(resolve)), quiet);
  for (let wish = 0; wish < 10; wish++) notifier.notify();
  sending[0]?.();
  await new Promise(setImmediate);
  sending[1]?.();
  await notifier.close();
  expect(sending).toHaveLength(2);
});
