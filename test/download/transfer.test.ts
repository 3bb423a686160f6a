import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { access, readdir, readFile, readlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Transfer } from "../../src/download/transfer/transfer.ts";
import { digestOf } from "../store/contract.ts";
import { type Behavior, startOrigin, type TestOrigin } from "../support/origin.ts";
import { editJournal, journalAt } from "./support/journals.ts";
import { mountTmpfs } from "./support/tmpfs.ts";
import { type Bench, createBench, newLease, transferUntil, watchTransfer } from "./support/transfers.ts";

const MiB = 1024 * 1024;
const bytes = randomBytes(5 * MiB + 12_345);
const sha256 = createHash("sha256").update(bytes).digest("hex");

/** Time that stands. */
const stillClock = { now: () => 0, date: () => new Date(), sleep: async () => {}, every: () => () => {} };

let origin: TestOrigin;
let bench: Bench;
let transfer: Transfer;
let served = 0;

beforeAll(async () => {
  origin = await startOrigin();
});
afterAll(() => origin.close());
beforeEach(async () => {
  bench = await createBench();
  transfer = await bench.process();
});
afterEach(() => bench.close());

/** Serves the bytes at a path of their own; the answer to the question for the size is honest unless `behavior` says otherwise. */
function serve(behavior: Behavior = {}, body: Uint8Array = bytes): { url: string; path: string } {
  served += 1;
  const path = `/file-${served}`;
  return { url: origin.serve(path, body, { methods: ["GET"], ...behavior }), path };
}

describe("a transfer", () => {
  it("brings a file whole and says its digest", async () => {
    const { url } = serve();
    const { heard, done } = watchTransfer(transfer, await bench.file({ url }));
    const { digest, size, path, forget } = await done;
    expect(digest).toBe(digestOf(bytes));
    expect(size).toBe(bytes.length);
    expect((await readFile(path)).equals(bytes)).toBe(true);
    expect(heard).toMatchObject({ kept: 0, received: bytes.length, restarts: 0, verified: 1 });
    await forget();
    expect(await readdir(bench.spool)).toEqual([]);
  });

  it("brings a file of no bytes", async () => {
    const { url } = serve({}, new Uint8Array());
    const { done } = watchTransfer(transfer, await bench.file({ url }));
    expect(await done).toMatchObject({ size: 0, digest: digestOf(new Uint8Array()) });
  });

  it("brings a file whose size nobody says", async () => {
    const { url } = serve({ chunked: true, methods: ["GET", "HEAD"], ranges: "ignore" });
    const file = await bench.file({ url });
    expect(file.size).toBeUndefined();
    const { done } = watchTransfer(transfer, file);
    expect(await done).toMatchObject({ size: bytes.length, digest: digestOf(bytes) });
  });

  it("goes on after drops where it was", async () => {
    const { url, path } = serve({ dropAfter: 700_000 });
    const { heard, done } = watchTransfer(transfer, await bench.file({ url }));
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard).toMatchObject({ received: bytes.length, restarts: 0 });
    expect(
      origin.requestsOf(path).filter(({ headers }) => headers.range?.match(/^bytes=[1-9]/)).length,
    ).toBeGreaterThan(5);
  });

  it.each(Array.from({ length: 5 }, () => [1 + Math.floor(Math.random() * bytes.length * 0.9)]))(
    "goes on after a drop at byte %i",
    async (dropAfter) => {
      const { url } = serve({ dropAfter, times: 1 });
      const { heard, done } = watchTransfer(transfer, await bench.file({ url }));
      expect(await done).toMatchObject({ digest: digestOf(bytes) });
      expect(heard.received).toBe(bytes.length);
    },
  );

  it("starts over when the source answers a range with the whole", async () => {
    const { url, path } = serve({ dropAfter: 2 * MiB });
    const { heard, done } = watchTransfer(transfer, await bench.file({ url }), {
      onReceived: () => origin.behave(path, { ranges: "ignore" }),
    });
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard).toMatchObject({ restarts: 1, received: bytes.length + 2 * MiB });
  });

  it("starts over when the object has changed in the middle", async () => {
    const { url, path } = serve({ dropAfter: 2 * MiB });
    const other = randomBytes(bytes.length);
    const { heard, done } = watchTransfer(transfer, await bench.file({ url }), {
      onReceived: () => origin.serve(path, other),
    });
    expect(await done).toMatchObject({ digest: digestOf(other) });
    expect(heard).toMatchObject({ restarts: 1, received: bytes.length + 2 * MiB });
  });

  it("does not join what cannot be shown to be of one piece", async () => {
    const { url } = serve({ dropAfter: 2 * MiB, times: 2, etag: null });
    const { heard, done } = watchTransfer(transfer, await bench.file({ url }));
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard.restarts).toBe(1);
  });

  it("goes on without a validator if the digest is known", async () => {
    const { url } = serve({ dropAfter: 2 * MiB, times: 1, etag: null });
    const { heard, done } = watchTransfer(transfer, await bench.file({ url, sha256 }));
    await done;
    expect(heard).toMatchObject({ restarts: 0, received: bytes.length });
  });

  it("replaces a source that stalls", async () => {
    const patient = await bench.process({ stallMs: 150 });
    const { url } = serve({ stallAfter: MiB, times: 1 });
    const { heard, done } = watchTransfer(patient, await bench.file({ url }));
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard).toMatchObject({ restarts: 0, received: bytes.length });
  });

  it("gives a source up that never answers", async () => {
    const impatient = await bench.process({ stallMs: 200, maxFailures: 3 });
    const { url, path } = serve({ hang: true });
    const { done } = watchTransfer(impatient, await bench.file({ url }));
    await expect(done).rejects.toMatchObject({ reason: "SOURCE_UNAVAILABLE" });
    expect(origin.requestsOf(path).filter(({ method }) => method === "GET")).toHaveLength(3);
  });

  it("outlives a server that fails for a while", async () => {
    const { url } = serve({ status: 503, times: 5 });
    const { done } = watchTransfer(transfer, await bench.file({ url }));
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
  });

  it("waits as long as it is asked to", async () => {
    const waits: number[] = [];
    const clock = { ...stillClock, sleep: async (ms: number) => void waits.push(ms) };
    const { url } = serve({ status: 429, times: 1, headers: { "retry-after": "7" } });
    await watchTransfer(await bench.process({ clock }), await bench.file({ url })).done;
    expect(waits).toEqual([7000]);
  });

  it.each(["SOURCE_FILE_NOT_FOUND", "SOURCE_FORBIDDEN"])("fails at once with %s", async (reason) => {
    const { url, path } = serve({ status: reason === "SOURCE_FORBIDDEN" ? 403 : 404 });
    const { done } = watchTransfer(transfer, await bench.file({ url }));
    await expect(done).rejects.toMatchObject({ reason });
    expect(origin.requestsOf(path).filter(({ method }) => method === "GET")).toHaveLength(1);
    expect(await readdir(bench.spool)).toEqual([]);
  });
});

describe("wrong bytes", () => {
  it("that come twice alike are refused, and nothing is left of them", async () => {
    const { url, path } = serve({ corrupt: true });
    const { heard, done } = watchTransfer(transfer, await bench.file({ url, sha256 }));
    await expect(done).rejects.toMatchObject({
      reason: "CONTENT_MISMATCH",
      message: expect.stringMatching(new RegExp(`model.bin.*expected sha256:${sha256}, got sha256:[0-9a-f]{64}`)),
    });
    expect(heard.restarts).toBe(1);
    expect(origin.requestsOf(path).filter(({ method }) => method === "GET")).toHaveLength(2);
    expect(await readdir(bench.spool)).toEqual([]);
  });

  it("are forgiven once they are right", async () => {
    const { url } = serve({ corrupt: true, times: 1 });
    const { heard, done } = watchTransfer(transfer, await bench.file({ url, sha256 }));
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard.restarts).toBe(1);
  });

  it("show in git's SHA-1 too", async () => {
    const { url } = serve({ corrupt: true });
    const file = await bench.file({ url });
    const gitBlobSha1 = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
    const bad = watchTransfer(transfer, { ...file, gitBlobSha1 });
    await expect(bad.done).rejects.toMatchObject({ reason: "CONTENT_MISMATCH" });
    origin.behave(new URL(url).pathname, {});
    const good = watchTransfer(transfer, { ...file, gitBlobSha1 });
    expect(await good.done).toMatchObject({ digest: digestOf(bytes) });
  });

  it.each([
    ["short", { shortBy: 100 }, "SOURCE_UNAVAILABLE"],
    ["long", { longBy: 100 }, "CONTENT_MISMATCH"],
  ])("are refused when a body is too %s", async (_what, behavior, reason) => {
    const hasty = await bench.process({ maxFailures: 2 });
    const { url } = serve(behavior);
    const { done } = watchTransfer(hasty, await bench.file({ url }));
    await expect(done).rejects.toMatchObject({ reason });
  });

  it("are not asked for when the size is another one", async () => {
    const { url } = serve();
    const file = await bench.file({ url });
    const { done } = watchTransfer(transfer, { ...file, size: bytes.length + 1 });
    await expect(done).rejects.toMatchObject({ reason: "CONTENT_MISMATCH" });
  });
});

describe("mirrors", () => {
  it("take over where a source fails", async () => {
    const bad = serve({ dropAfter: 2 * MiB, times: 1 });
    const good = serve();
    const file = await bench.file({ url: bad.url, mirrors: [good.url], sha256 });
    const { heard, done } = watchTransfer(transfer, file);
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard).toMatchObject({ restarts: 0, received: bytes.length });
    expect(origin.bytesOf(good.path)).toBe(bytes.length - 2 * MiB);
  });

  it("are asked when a source refuses", async () => {
    const bad = serve({ status: 403 });
    const good = serve();
    const file = await bench.file({ url: bad.url, mirrors: [good.url] });
    expect(await watchTransfer(transfer, file).done).toMatchObject({ digest: digestOf(bytes) });
  });

  it("are asked when a source lies", async () => {
    const bad = serve({ corrupt: true });
    const good = serve();
    const file = await bench.file({ url: bad.url, mirrors: [good.url], sha256 });
    const { heard, done } = watchTransfer(transfer, file);
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard.restarts).toBe(1);
  });

  it("that hold another file cost nothing of what is here", async () => {
    const bad = serve({ dropAfter: 2 * MiB, times: 1 });
    const other = serve({ ranges: "ignore" }, randomBytes(MiB));
    const file = await bench.file({ url: bad.url, mirrors: [other.url], sha256 });
    const { heard, done } = watchTransfer(transfer, file);
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(origin.requestsOf(other.path)).toHaveLength(1);
    expect(heard).toMatchObject({ restarts: 0, received: bytes.length });
  });

  it("begin from zero if nothing shows that they hold the same", async () => {
    const bad = serve({ dropAfter: 2 * MiB, times: 1 });
    const other = randomBytes(bytes.length);
    const good = serve({}, other);
    const file = await bench.file({ url: bad.url, mirrors: [good.url] });
    // The first source does not come back.
    const { done } = watchTransfer(transfer, file, {
      onReceived: () => origin.behave(bad.path, { status: 404 }),
    });
    expect(await done).toMatchObject({ digest: digestOf(other) });
  });
});

describe("parts", () => {
  it("are continued by the next transfer of the same process without being copied", async () => {
    const { url, path } = serve();
    const file = await bench.file({ url });
    const lease = newLease();
    const first = await transferUntil(transfer, file, 2 * MiB, { lease });
    const next = { ...lease, epoch: 2 };
    expect(await transfer.survey(next, [file])).toEqual({ kept: first.received, copied: 0 });
    const { heard, done } = watchTransfer(transfer, file, { lease: next });
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard).toMatchObject({ kept: first.received, received: bytes.length - first.received, restarts: 0 });
    expect(origin.requestsOf(path).at(-1)?.headers.range).toMatch(`bytes=${first.received}-`);
  });

  it("of another process are copied, never written, and go when that is done", async () => {
    const { url } = serve();
    const file = await bench.file({ url });
    const lease = newLease();
    const first = await transferUntil(transfer, file, 2 * MiB, { lease });
    const other = await bench.process();
    const next = { ...lease, epoch: 2 };
    expect(await other.survey(next, [file])).toEqual({ kept: first.received, copied: first.received });
    const { heard, done } = watchTransfer(other, file, { lease: next });
    const { digest, path } = await done;
    expect(digest).toBe(digestOf(bytes));
    expect(heard).toMatchObject({ kept: first.received, received: bytes.length - first.received });
    const left = (await readdir(bench.spool, { recursive: true })).filter((name) => name.endsWith(".part"));
    expect(left.map((name) => `${bench.spool}/${name}`)).toEqual([path]);
  });

  it("of another process that starts over meanwhile are not mixed with what comes", async () => {
    const { url } = serve();
    const file = await bench.file({ url });
    const lease = newLease();
    await transferUntil(transfer, file, 2 * MiB, { lease });
    const [part = ""] = await partsIn(bench.spool);
    const { signal } = new AbortController();
    // Asked between the pieces of a copy.
    signal.throwIfAborted = () => {
      if (existsSync(part)) editJournal(part, { validator: '"new"' });
    };
    const { heard, done } = watchTransfer(await bench.process(), file, { lease: { ...lease, epoch: 2 }, signal });
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard).toMatchObject({ kept: 0, received: bytes.length });
  });

  it("survive an owner that goes on writing after it was replaced", async () => {
    const { url } = serve({ bytesPerSecond: 20 * MiB });
    const file = await bench.file({ url });
    const lease = newLease();
    const { promise: started, resolve: start } = Promise.withResolvers<void>();
    const old = watchTransfer(transfer, file, { lease, onReceived: (received) => received > 2 * MiB && start() });
    await started;
    const heir = await bench.process();
    const next = watchTransfer(heir, file, { lease: { ...lease, epoch: 2 } });
    const { path } = await next.done;
    await old.done.catch(() => {});
    expect((await readFile(path)).equals(bytes)).toBe(true);
    expect(next.heard.received).toBeLessThanOrEqual(bytes.length);
  });

  it("of a download that ended are continued by another one", async () => {
    const { url } = serve();
    const file = await bench.file({ url, sha256 });
    const first = await transferUntil(transfer, file, 2 * MiB);
    const other = await bench.process({ isLive: async () => false });
    const { heard, done } = watchTransfer(other, file);
    await done;
    expect(heard.kept).toBe(first.received);
  });

  it("of a download that goes on are left to it", async () => {
    const { url } = serve();
    const file = await bench.file({ url, sha256 });
    await transferUntil(transfer, file, 2 * MiB);
    const [before] = await partsIn(bench.spool);
    const { heard, done } = watchTransfer(await bench.process(), file);
    await done;
    expect(heard).toMatchObject({ kept: 0, received: bytes.length });
    expect(await partsIn(bench.spool)).toContain(before);
  });

  it("are not continued over a changed object", async () => {
    const { url, path } = serve();
    const lease = newLease();
    await transferUntil(transfer, await bench.file({ url }), 2 * MiB, { lease });
    const other = randomBytes(bytes.length);
    origin.serve(path, other);
    const { heard, done } = watchTransfer(transfer, await bench.file({ url }), { lease: { ...lease, epoch: 2 } });
    expect(await done).toMatchObject({ digest: digestOf(other) });
    expect(heard.restarts).toBe(1);
  });

  it("that are whole need no source", async () => {
    const { url } = serve();
    const file = await bench.file({ url });
    const lease = newLease();
    await watchTransfer(transfer, file, { lease }).done;
    origin.behave(new URL(url).pathname, { status: 500 });
    const { heard, done } = watchTransfer(transfer, file, { lease: { ...lease, epoch: 2 } });
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard).toMatchObject({ kept: bytes.length, received: 0 });
  });

  it.each([
    ["of the same boot by what was written", {}, 2 * MiB],
    ["of another boot by what was synced", { bootId: "another" }, MiB, 4],
    ["of another boot, where nothing was synced, not at all", { bootId: "another" }, 0],
    ["of another size not at all", { size: 1 }, 0],
    ["of an unknown form not at all", { format: 1 }, 0],
  ])("are trusted %s", async (_what, changes, trusted, synced = 0) => {
    const { url } = serve({ stallAfter: 2 * MiB });
    const file = await bench.file({ url });
    const lease = newLease();
    await transferUntil(transfer, file, 2 * MiB, { lease });
    const [part = ""] = await partsIn(bench.spool);
    editJournal(part, changes, synced);
    origin.behave(new URL(url).pathname, {});
    const { heard, done } = watchTransfer(await bench.process(), file, { lease: { ...lease, epoch: 2 } });
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard).toMatchObject({ kept: trusted, received: bytes.length - trusted });
  });

  it("never claim more on the disk than is in the file", async () => {
    const { url } = serve();
    const file = await bench.file({ url });
    const lease = newLease();
    await transferUntil(transfer, file, 3 * MiB, { lease });
    const [part = ""] = await partsIn(bench.spool);
    editJournal(part, {}, 12);
    await truncate(part, MiB);
    const { heard, done } = watchTransfer(await bench.process(), file, { lease: { ...lease, epoch: 2 } });
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard).toMatchObject({ kept: MiB, received: bytes.length - MiB });
  });

  it("are not trusted for bytes that a crash left wrong", async () => {
    const { url } = serve();
    const file = await bench.file({ url, sha256 });
    const lease = newLease();
    await transferUntil(transfer, file, 2 * MiB, { lease });
    const [part = ""] = await partsIn(bench.spool);
    await writeFile(part, Buffer.alloc(2 * MiB));
    const { heard, done } = watchTransfer(transfer, file, { lease: { ...lease, epoch: 2 } });
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard.restarts).toBe(1);
  });

  it("outlive a process that is killed", async () => {
    const { url } = serve({ stallAfter: 3 * MiB + 1 });
    const lease = newLease();
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, "support/transfer-child.ts"), bench.spool, url, JSON.stringify(lease)],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const ended = once(child, "exit");
    for await (const line of createInterface({ input: child.stdout })) {
      // The record is written twice a second, when something was written.
      if (Number(line) > 3 * MiB) break;
    }
    await expect.poll(async () => recordedIn(bench.spool)).toBeGreaterThan(0);
    child.kill("SIGKILL");
    expect(await ended).toEqual([null, "SIGKILL"]);
    origin.behave(new URL(url).pathname, {});
    const { heard, done } = watchTransfer(transfer, await bench.file({ url }), { lease: { ...lease, epoch: 2 } });
    expect(await done).toMatchObject({ digest: digestOf(bytes) });
    expect(heard.kept).toBeGreaterThan(0);
    expect(heard.kept + heard.received).toBe(bytes.length);
  });

  it("stay when the disk is full, and are continued when it is not any more", async (context) => {
    const unmount = mountTmpfs(bench.spool, "size=3m");
    if (unmount === undefined) return context.skip("file systems cannot be mounted here");
    try {
      const { url } = serve();
      const file = await bench.file({ url });
      const lease = newLease();
      const first = watchTransfer(transfer, file, { lease });
      await expect(first.done).rejects.toMatchObject({ reason: "DISK_FULL" });
      expect(mountTmpfs(bench.spool, "remount,size=20m")).toBeDefined();
      const { heard, done } = watchTransfer(transfer, file, { lease: { ...lease, epoch: 2 } });
      expect(await done).toMatchObject({ digest: digestOf(bytes) });
      expect(heard.kept).toBeGreaterThan(0);
    } finally {
      unmount();
    }
  });

  it("that find no room for their record leave nothing open", async (context) => {
    // The folder of parts, one in it, and the file: none is left for the record.
    const unmount = mountTmpfs(bench.spool, "size=1m,nr_inodes=3");
    if (unmount === undefined) return context.skip("file systems cannot be mounted here");
    try {
      const { done } = watchTransfer(transfer, await bench.file({ url: serve().url }));
      await expect(done).rejects.toMatchObject({ reason: "DISK_FULL" });
      expect(await readdir(bench.spool)).toEqual([]);
      const open = await Promise.all(
        (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")),
      );
      expect(open.filter((path) => path.startsWith(bench.spool))).toEqual([]);
    } finally {
      unmount();
    }
  });

  it("are swept when they are old and not kept for their download", async () => {
    const { url } = serve();
    await transferUntil(transfer, await bench.file({ url }), 2 * MiB);
    const [part = ""] = await partsIn(bench.spool);
    const dayLater = { ...stillClock, date: () => new Date(Date.now() + 25 * 3600_000) };
    const day = 24 * 3600_000;
    await transfer.sweep(day, async () => false);
    await access(part);
    const later = await bench.process({ clock: dayLater });
    await later.sweep(day, async () => true);
    await access(part);
    await later.sweep(day, async () => false);
    expect(await readdir(bench.spool)).toEqual([]);
  });
});

/** How many bytes the journals of all parts vouch for. */
async function recordedIn(spool: string): Promise<number> {
  const counts = (await partsIn(spool)).map(async (part) => (await journalAt(part)).written.count() * (MiB / 4));
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

async function partsIn(spool: string): Promise<string[]> {
  const names = await readdir(spool, { recursive: true });
  return names.filter((name) => name.endsWith(".part")).map((name) => `${spool}/${name}`);
}
