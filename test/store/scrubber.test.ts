import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { Digest } from "../../src/domain/digest.ts";
import type { DownloadsService } from "../../src/download/downloads.ts";
import { Repairs } from "../../src/store/repairs.ts";
import { Scrubber, type ScrubberOptions } from "../../src/store/scrubber.ts";
import { Verifier } from "../../src/store/verifier.ts";
import { manualClock } from "../download/support/manual-clock.ts";
import { type Cluster, createCluster, download } from "../download/support/service.ts";
import { silent } from "../sources/helpers.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { digestOf } from "./contract.ts";

const MiB = 1024 * 1024;
const FAST = 1024 * MiB;

let origin: TestOrigin;
let cluster: Cluster;
let service: DownloadsService;
let served = 0;

beforeAll(async () => {
  origin = await startOrigin();
});
beforeEach(async () => {
  cluster = await createCluster();
  service = await cluster.replica();
  service.start();
  return async () => {
    await service.stop(1000);
    await cluster.close();
  };
});
afterAll(() => origin.close());

/** Brings bytes into the store; answers their digest. */
async function store(...contents: Uint8Array[]): Promise<Digest[]> {
  const files = contents.map((bytes) => ({ url: origin.serve(`/${++served}`, bytes), path: `f${served}` }));
  await download(service, await cluster.model(...files));
  return contents.map(digestOf);
}

/** A scrubber that notes which blobs it reads. */
function scrubberOf(options: Partial<ScrubberOptions> = {}): { scrubber: Scrubber; read: Digest[] } {
  const { damage } = cluster;
  const read: Digest[] = [];
  const noting = {
    ...cluster.store,
    verify: (digest: Digest, how: Parameters<typeof cluster.store.verify>[1]) => {
      read.push(digest);
      return cluster.store.verify(digest, how);
    },
  };
  const scrubber = new Scrubber({
    store: cluster.store,
    damage,
    verifier: new Verifier({ store: noting, damage, log: silent }),
    repairs: new Repairs({ damage, downloads: service.downloads, log: silent }),
    log: silent,
    rate: FAST,
    isBusy: () => false,
    ...options,
  });
  return { scrubber, read };
}

it("reads what was never read first, then what was read longest ago, each once in a fortnight", async () => {
  const [first, second] = await store(randomBytes(1000), randomBytes(2000));
  const { scrubber, read } = scrubberOf();
  await scrubber.turn();
  expect([...read].sort()).toEqual([first, second].sort());
  await scrubber.turn();
  expect(read).toHaveLength(2);
  await cluster.damage.verified(first as Digest);
  const [third] = await store(randomBytes(3000));
  const due = (await cluster.damage.leastRecentlyVerified(0, 10)).map(({ digest }) => digest);
  expect(due).toEqual([third, second, first]);
  await scrubber.turn();
  expect(read.slice(2)).toEqual([third]);
  await scrubber.stop();
});

it("is one process's work at a time", async () => {
  await store(randomBytes(1000));
  const [one, other] = [scrubberOf(), scrubberOf()];
  await one.scrubber.turn();
  await store(randomBytes(1000));
  await other.scrubber.turn();
  expect([one.read.length, other.read.length]).toEqual([1, 0]);
  await Promise.all([one.scrubber.stop(), other.scrubber.stop()]);
});

it("repairs what it finds, and reads nothing when it is off", async () => {
  const [lost] = await store(randomBytes(5000));
  await cluster.store.remove(lost as Digest);
  await store(randomBytes(10));
  const off = scrubberOf({ rate: undefined });
  await off.scrubber.turn();
  expect(off.read).toEqual([]);
  await off.scrubber.stop();

  const { scrubber } = scrubberOf({ damage: { ...cluster.damage, holdScrub: async () => true } });
  await scrubber.turn();
  await expect.poll(async () => cluster.store.stat(lost as Digest), { timeout: 5000 }).toEqual({ size: 5000 });
  await scrubber.stop();
});

it("keeps to its rate, and waits while downloads run", async () => {
  await store(randomBytes(20 * MiB));
  const clock = manualClock();
  const begin = clock.now();
  let busy = false;
  let ended = false;
  const { scrubber } = scrubberOf({ clock, rate: 2 * MiB, isBusy: () => busy });
  const turn = scrubber.turn().then(() => {
    ended = true;
  });
  const until = async (when: () => boolean) => {
    while (!when()) await clock.pass(250);
  };
  await until(() => clock.now() - begin >= 5_000);
  busy = true;
  await clock.pass(60_000);
  expect(ended).toBe(false);
  busy = false;
  await until(() => ended);
  // 20 MiB at 2 MiB a second.
  expect(clock.now() - begin).toBeGreaterThanOrEqual(70_000 - 1_000);
  await turn;
  await scrubber.stop();
});

it("ends in the middle of a blob when it is stopped", async () => {
  const [digest] = await store(randomBytes(20 * MiB));
  const clock = manualClock();
  const { scrubber, read } = scrubberOf({ clock, rate: 1024 });
  const turn = scrubber.turn();
  await expect.poll(() => read.length).toBe(1);
  await scrubber.stop();
  await turn;
  expect((await cluster.damage.leastRecentlyVerified(0, 1))[0]?.digest).toBe(digest);
});
