import { expect, it } from "vitest";
import { HostCircuits } from "../../src/download/transfer/host-circuits.ts";
import { manualClock } from "./support/manual-clock.ts";

const BACKOFF = { baseMs: 1000, maxMs: 8000 };
const HOST = "models.example:443";

function circuits() {
  const clock = manualClock();
  const made = new HostCircuits(clock, () => 1, BACKOFF);
  const waitFor = (host: string) => Math.max(0, made.openUntil(host) - clock.now());
  const fail = (times: number) => {
    for (let time = 0; time < times; time += 1) made.failed(HOST);
  };
  return { clock, circuits: made, waitFor, fail };
}

it("lets a host be asked while its failures are few", () => {
  const { waitFor, fail } = circuits();
  fail(4);
  expect(waitFor(HOST)).toBe(0);
});

it("leaves a host alone that fails again and again, longer each time, and no other host", async () => {
  const { clock, circuits: made, waitFor, fail } = circuits();
  fail(5);
  expect(waitFor("other.example:443")).toBe(0);
  for (const wait of [1000, 2000, 4000, 8000, 8000]) {
    expect(waitFor(HOST)).toBe(wait);
    await clock.pass(wait);
    made.enter(HOST);
    fail(1);
  }
});

it("learns nothing from those who had asked before it opened", () => {
  const { waitFor, fail } = circuits();
  fail(12);
  expect(waitFor(HOST)).toBe(1000);
});

it("lets one try after the pause, while the others wait for what comes of it", async () => {
  const { clock, circuits: made, waitFor, fail } = circuits();
  fail(5);
  await clock.pass(1000);
  expect(waitFor(HOST)).toBe(0);
  made.enter(HOST);
  expect(waitFor(HOST)).toBe(10_000);
  made.helped(HOST);
  expect(waitFor(HOST)).toBe(0);
});
