import { expect, it } from "vitest";
import { Climb, MAX_CONNECTIONS } from "../../src/download/transfer/climb.ts";

/** Feeds samples of a source until the number of connections rests; `speed` answers for so many connections. */
function climbOver(speed: (connections: number) => number, { first = 1, busy = 0 } = {}): number {
  const climb = new Climb(first);
  for (let sample = 0; sample < 30; sample += 1) {
    climb.sample({ speed: speed(climb.wanted), connections: climb.wanted, busy });
  }
  return climb.wanted;
}

it("takes all there may be while each brings more", () => {
  expect(climbOver((connections) => connections * 1000)).toBe(MAX_CONNECTIONS);
});

it("stays with one where that is as fast as many", () => {
  expect(climbOver(() => 100_000)).toBe(1);
});

it("stays with what was good before a step that brought nothing", () => {
  expect(climbOver((connections) => Math.min(connections, 4) * 1000)).toBe(4);
});

it("does not climb while the receiving thread has no time for more", () => {
  expect(climbOver((connections) => connections * 1000, { busy: 0.95 })).toBe(1);
});

it("begins with as many as there are mirrors", () => {
  expect(climbOver(() => 1000, { first: 3 })).toBe(3);
});

it("says nothing of connections that are not there yet", () => {
  const climb = new Climb(1);
  for (let sample = 0; sample < 30; sample += 1) climb.sample({ speed: 1000, connections: 0, busy: 0 });
  expect(climb.wanted).toBe(1);
});

it("does not ask again at once for what cannot be had", () => {
  const climb = new Climb(8);
  climb.limit(3);
  for (let sample = 0; sample < 30; sample += 1) climb.sample({ speed: 1000, connections: 3, busy: 0 });
  expect(climb.wanted).toBe(3);
});
