import { describe, expect, it } from "vitest";
import type { Download, Progress } from "../../src/domain/download.ts";
import { Channel, type Watcher } from "../../src/download/progress/channel.ts";
import { JobProgress } from "../../src/download/progress/job-progress.ts";
import { RemoteProgress } from "../../src/download/progress/remote-progress.ts";
import { manualClock } from "./support/manual-clock.ts";

const never = new AbortController().signal;

function newDownload(): Download {
  const time = new Date(0);
  const identity = { modelId: "m", revision: "", allowPatterns: [], ignorePatterns: [], resolvedRevision: "" };
  const counters = { completedBytes: 0, sourceBytes: 0, peerBytes: 0, reusedBytes: 0, completedFiles: 0 };
  const progress: Progress = {
    ...counters,
    downloadId: "d",
    state: "QUEUED",
    bytesPerSecond: 0,
    attempt: 1,
    resolvedRevision: "",
    updateTime: time,
    files: [],
  };
  return { ...identity, id: "d", state: "QUEUED", priority: 0, progress, createTime: time, updateTime: time };
}

function begin(files: readonly { path: string; size?: number }[]) {
  const clock = manualClock();
  const progress = new JobProgress(newDownload(), clock);
  progress.resolved("rev", files);
  progress.enter("TRANSFERRING");
  const channel = new Channel(progress, clock);
  clock.every(100, () => channel.tick());
  return { clock, progress, channel };
}

/** Reads without a pause. */
function read(channel: Channel, watcher: Watcher = channel.join()): Progress[] {
  const messages: Progress[] = [];
  const loop = async () => {
    for (;;) {
      const message = await channel.next(watcher, never);
      if (message === undefined) return;
      messages.push(message);
    }
  };
  void loop();
  return messages;
}

describe("counters", () => {
  it("tell the sum of what came from the source and what was there", () => {
    const { progress } = begin([
      { path: "a", size: 100 },
      { path: "b", size: 50 },
    ]);
    progress.complete("b", 50);
    progress.kept("a", 30);
    progress.received("a", 20);
    expect(progress.snapshot()).toMatchObject({
      completedBytes: 100,
      totalBytes: 150,
      sourceBytes: 50,
      reusedBytes: 50,
      completedFiles: 1,
      totalFiles: 2,
      resolvedRevision: "rev",
    });
  });

  it("do not guess a total that nobody knows", async () => {
    const { progress, clock } = begin([{ path: "a", size: 100 }, { path: "b" }]);
    progress.received("a", 50);
    await clock.pass(1000);
    expect(progress.snapshot()).toMatchObject({ totalBytes: undefined, etaMs: undefined, bytesPerSecond: 50 });
    progress.sized("b", 0);
    expect(progress.snapshot()).toMatchObject({ totalBytes: 100, etaMs: 1000 });
  });

  it("measure the speed of the last three seconds, by fresh bytes alone", async () => {
    const { progress, clock } = begin([{ path: "a", size: 100_000 }]);
    progress.kept("a", 50_000);
    for (let second = 0; second < 5; second += 1) {
      progress.received("a", 3000);
      await clock.pass(1000);
    }
    expect(progress.snapshot().bytesPerSecond).toBeGreaterThanOrEqual(2900);
    expect(progress.snapshot().bytesPerSecond).toBeLessThanOrEqual(3100);
    await clock.pass(10_000);
    expect(progress.snapshot()).toMatchObject({ bytesPerSecond: 0, etaMs: undefined });
  });

  it("go back only with a new attempt", () => {
    const { progress } = begin([{ path: "a", size: 100 }]);
    progress.received("a", 80);
    progress.restarted("a");
    expect(progress.snapshot()).toMatchObject({ completedBytes: 0, sourceBytes: 0, attempt: 2 });
  });
});

describe("what is waited for", () => {
  const failure = { reason: "SOURCE_UNAVAILABLE", message: "no answer", metadata: {} } as const;

  it("is told while nothing else moves, and is over with the first byte", () => {
    const { progress } = begin([
      { path: "a", size: 100 },
      { path: "b", size: 50 },
    ]);
    const { sequence } = progress;
    progress.waiting(failure, "a");
    expect(progress.sequence).toBeGreaterThan(sequence);
    expect(progress.snapshot().waiting).toEqual(failure);
    progress.received("b", 10);
    expect(progress.snapshot().waiting).toBeUndefined();
    progress.complete("b", 50);
    expect(progress.snapshot().waiting).toEqual(failure);
    progress.received("a", 1);
    expect(progress.snapshot().waiting).toBeUndefined();
  });

  it("by the whole job comes before what its files do, and ends with the state", () => {
    const { progress } = begin([{ path: "a", size: 100 }]);
    progress.received("a", 10);
    progress.waiting({ ...failure, reason: "DATABASE_UNAVAILABLE" });
    expect(progress.snapshot().waiting?.reason).toBe("DATABASE_UNAVAILABLE");
    progress.waiting(undefined);
    expect(progress.snapshot().waiting).toBeUndefined();
    progress.waiting(failure);
    progress.end("FAILED", { error: failure });
    expect(progress.snapshot()).toMatchObject({ error: failure, waiting: undefined });
  });
});

describe("a watcher", () => {
  it("gets everything at once, then only what changed", async () => {
    const { progress, channel, clock } = begin([
      { path: "a", size: 100 },
      { path: "b", size: 50 },
    ]);
    const messages = read(channel);
    await clock.pass(0);
    expect(messages.map(({ files }) => files.map(({ path }) => path))).toEqual([["a", "b"]]);
    progress.received("b", 10);
    await clock.pass(100);
    expect(messages).toHaveLength(2);
    expect(messages[1]).toMatchObject({ completedBytes: 10, files: [{ path: "b", completedBytes: 10 }] });
  });

  it("hears at most ten times a second, and at least every five", async () => {
    const { progress, channel, clock } = begin([{ path: "a", size: 1e6 }]);
    const messages = read(channel);
    for (let turn = 0; turn < 200; turn += 1) {
      progress.received("a", 1);
      await clock.pass(10);
    }
    expect(messages.length).toBeGreaterThanOrEqual(19);
    expect(messages.length).toBeLessThanOrEqual(21);
    const before = messages.length;
    await clock.pass(10_000);
    expect(messages.length - before).toBe(2);
    expect(messages.at(-1)?.files).toEqual([]);
  });

  it("that is slow gets everything next, once, however much it missed", async () => {
    const { progress, channel, clock } = begin([
      { path: "a", size: 1e6 },
      { path: "b", size: 1e6 },
    ]);
    const watcher = channel.join();
    await channel.next(watcher, never);
    for (let turn = 0; turn < 50; turn += 1) {
      progress.received("a", 1);
      await clock.pass(100);
    }
    const late = await channel.next(watcher, never);
    expect(late).toMatchObject({ completedBytes: 50, files: [{ path: "a" }, { path: "b" }] });
    progress.received("a", 1);
    const messages = read(channel, watcher);
    await clock.pass(100);
    expect(messages.map(({ files }) => files.map(({ path }) => path))).toEqual([["a"]]);
  });

  it("hears the end last, and nothing after it", async () => {
    const { progress, channel, clock } = begin([{ path: "a", size: 5 }]);
    const watcher = channel.join();
    const messages = read(channel, watcher);
    await clock.pass(0);
    progress.complete("a", 5);
    progress.end("SUCCEEDED", { version: 3 });
    await clock.pass(10_000);
    expect(messages).toHaveLength(2);
    expect(messages[1]).toMatchObject({ state: "SUCCEEDED", version: 3, files: [{ path: "a", state: "COMPLETE" }] });
    expect(await channel.next(watcher, never)).toBeUndefined();
    // Who joins later hears the end at once.
    const later = read(channel);
    await clock.pass(0);
    expect(later).toHaveLength(1);
  });

  it("shares messages with those in step", async () => {
    const { progress, channel, clock } = begin([{ path: "a", size: 5 }]);
    const [one, two] = [read(channel), read(channel)];
    await clock.pass(0);
    progress.received("a", 1);
    await clock.pass(100);
    expect(one).toHaveLength(2);
    expect(one[1]).toBe(two[1]);
  });

  it("leaves when its signal fires", async () => {
    const { channel } = begin([]);
    const gone = new AbortController();
    const watcher = channel.join();
    await channel.next(watcher, gone.signal);
    const waiting = channel.next(watcher, gone.signal);
    gone.abort();
    expect(await waiting).toBeUndefined();
  });

  it("gets everything when the download changes hands", async () => {
    const { progress, channel, clock } = begin([{ path: "a", size: 5 }]);
    const messages = read(channel);
    await clock.pass(0);
    channel.replace(new RemoteProgress(progress.snapshot()));
    await clock.pass(100);
    expect(messages).toHaveLength(2);
    expect(messages[1]?.files).toHaveLength(1);
  });
});

describe("progress of another process", () => {
  function told(changes: Partial<Progress>): Progress {
    return { ...newDownload().progress, state: "TRANSFERRING", ...changes };
  }

  it("never goes back within an attempt", () => {
    const remote = new RemoteProgress(told({ completedBytes: 50 }));
    remote.update(told({ completedBytes: 40, updateTime: new Date(1) }));
    expect(remote.snapshot().completedBytes).toBe(50);
    remote.update(told({ completedBytes: 10, attempt: 2, updateTime: new Date(2) }));
    expect(remote.snapshot()).toMatchObject({ completedBytes: 10, attempt: 2 });
  });

  it("goes on while the owner's clock stands still, and tells what it waits for", () => {
    const remote = new RemoteProgress(told({ completedBytes: 50 }));
    remote.update(told({ completedBytes: 60 }));
    expect(remote.snapshot().completedBytes).toBe(60);
    const waiting = { reason: "DISK_FULL", message: "full", metadata: {} } as const;
    remote.update(told({ completedBytes: 60, waiting }));
    expect(remote.snapshot()).toMatchObject({ waiting });
  });

  it("ends though the last counters were not kept", () => {
    const remote = new RemoteProgress(told({ completedBytes: 50 }));
    remote.update(told({ completedBytes: 40, state: "CANCELLED", updateTime: new Date(1) }));
    expect(remote.ended).toBe(true);
    expect(remote.snapshot()).toMatchObject({ state: "CANCELLED", completedBytes: 50 });
  });

  it("tells the files that changed", () => {
    const file = { path: "a", state: "TRANSFERRING", completedBytes: 1, totalBytes: 9 } as const;
    const other = { ...file, path: "b" };
    const remote = new RemoteProgress(told({ files: [file, other] }));
    const { sequence } = remote;
    remote.update(told({ completedBytes: 5, updateTime: new Date(1), files: [{ ...file, completedBytes: 5 }, other] }));
    expect(remote.snapshot(sequence).files.map(({ path }) => path)).toEqual(["a"]);
    expect(remote.snapshot().files).toHaveLength(2);
  });

  it("tells all files as complete when it has succeeded, though nothing is kept of them then", () => {
    const file = { path: "a", state: "TRANSFERRING", completedBytes: 1, totalBytes: 9 } as const;
    const remote = new RemoteProgress(told({ files: [file] }));
    const { sequence } = remote;
    remote.update(told({ state: "SUCCEEDED", completedBytes: 9, updateTime: new Date(1) }));
    expect(remote.snapshot(sequence).files).toEqual([{ ...file, state: "COMPLETE", completedBytes: 9 }]);
  });
});
