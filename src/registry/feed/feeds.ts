import type { Logger } from "../../domain/logger.ts";
import type { FeedEvent, Feeds, Named, WatchRequest } from "../../domain/ports/feeds.ts";
import { Semaphore } from "../../lib/semaphore.ts";
import type { ConnectionTarget, Database } from "../database.ts";
import { currentSequence } from "../events.ts";
import { compileFilter } from "../filter-sql.ts";
import { knownRootsAt } from "./known-roots.ts";
import { modelsSubject } from "./models-subject.ts";
import { readChanges, sequenceExpired } from "./read-changes.ts";
import { Scope, type Standing } from "./scope.ts";
import type { Subject } from "./subject.ts";
import { Tail } from "./tail.ts";
import { workersSubject } from "./workers-subject.ts";

export interface FeedOptions {
  /** Where notices are heard: past any pooler. */
  readonly direct: ConnectionTarget;
  readonly log: Logger;
  /** How many changes a watch may be behind; default 2048. */
  readonly capacity?: number;
  /** The most time between two BOOKMARKs, in milliseconds; default 25,000. */
  readonly bookmarkMs?: number;
}

/** Each holds all that matches while it is read. */
const SNAPSHOTS_AT_ONCE = 2;

/** The feed of a database's changes. After `close` its watches hear nothing more. */
export function createFeeds(database: Database, options: FeedOptions): Feeds & { close(): Promise<void> } {
  const { capacity = 2048, bookmarkMs = 25_000 } = options;
  const tail = new Tail(database, { direct: options.direct, log: options.log, capacity });
  const snapshots = new Semaphore(SNAPSHOTS_AT_ONCE);

  async function* watch(subject: Subject, request: WatchRequest): AsyncGenerator<FeedEvent, void, undefined> {
    const { filter, afterSequence } = request;
    let known = new Map<string, Standing>();
    let sequence: number;
    let present: number | undefined;
    if (afterSequence === undefined) {
      const snapshot = await readSnapshot(subject, request);
      sequence = snapshot.sequence;
      if (filter !== undefined) known = new Map(snapshot.ids.map((id) => [id, { since: sequence, sure: true }]));
      const { time } = snapshot;
      for (const named of snapshot.resources) yield { sequence, time, kind: "SNAPSHOT", ...named };
      yield { sequence, time, kind: "BOOKMARK" };
    } else {
      sequence = afterSequence;
      const { current, outOfRange } = await readChanges(database, sequence);
      if (outOfRange) throw sequenceExpired(sequence, current);
      present = current;
      if (filter !== undefined) known = await knownRootsAt(database, subject, filter, sequence);
    }
    yield* follow(new Scope(database, subject, filter, known), { sequence, present }, request.signal);
  }

  async function* follow(scope: Scope, start: Start, signal: AbortSignal): AsyncGenerator<FeedEvent, void, undefined> {
    let { sequence, present = Number.POSITIVE_INFINITY } = start;
    let follower = tail.follow(sequence, false);
    while (follower === undefined) {
      signal.throwIfAborted();
      const { changes, current, outOfRange } = await readChanges(database, sequence);
      if (outOfRange) throw sequenceExpired(sequence, current);
      for (const change of changes) {
        yield* await scope.translate(change);
        sequence = change.sequence;
      }
      follower = tail.follow(sequence, sequence >= current);
    }
    try {
      let bookmarkAt = performance.now() + bookmarkMs;
      for (;;) {
        if (sequence >= present || performance.now() >= bookmarkAt) {
          if (sequence >= present) present = Number.POSITIVE_INFINITY;
          bookmarkAt = performance.now() + bookmarkMs;
          yield { sequence, time: new Date(), kind: "BOOKMARK" };
        }
        const change = await follower.next(Math.max(0, bookmarkAt - performance.now()), signal);
        if (change === undefined) continue;
        yield* await scope.translate(change);
        sequence = change.sequence;
      }
    } finally {
      follower.leave();
    }
  }

  async function readSnapshot(subject: Subject, { filter, signal }: WatchRequest): Promise<Snapshot> {
    const matches = compileFilter(filter, subject.filterColumns);
    const release = await snapshots.acquire(signal);
    try {
      return await database.snapshot(async (tx) => {
        const roots = await subject.readRoots(tx, matches);
        const parts = await subject.readParts(tx, matches);
        const ids = roots.flatMap(({ noun, resource }) => (noun === subject.root ? [resource.id] : []));
        return { sequence: await currentSequence(tx), time: new Date(), ids, resources: [...roots, ...parts] };
      });
    } finally {
      release();
    }
  }

  return {
    watchModels: (request) => watch(modelsSubject, request),
    watchWorkers: (request) => watch(workersSubject, request),
    close: () => tail.close(),
  };
}

/** Where a watch begins. */
interface Start {
  readonly sequence: number;
  /** Where the feed was then, which a BOOKMARK tells; absent if one did. */
  readonly present?: number;
}

interface Snapshot {
  readonly sequence: number;
  readonly time: Date;
  readonly ids: readonly string[];
  readonly resources: readonly Named[];
}
