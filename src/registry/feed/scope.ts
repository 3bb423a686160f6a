import type { Filter } from "../../domain/filter.ts";
import { matchesFilter } from "../../domain/matches-filter.ts";
import type { Change, FeedEvent } from "../../domain/ports/feeds.ts";
import type { Database } from "../database.ts";
import { currentSequence } from "../events.ts";
import type { Subject } from "./subject.ts";

/** What a watcher knows of a root. */
export interface Standing {
  /** Changes of its parts up to here are in what was told already. */
  readonly since: number;
  /** False where it cannot be found out whether the watcher knows it: it is then told what it may know already. */
  readonly sure: boolean;
}

/**
 * Turns the feed's changes into those of one watcher: what is not its subject's is left out, what enters its filter is CREATED with
 * all that belongs to it, and what leaves is DELETED.
 */
export class Scope {
  readonly #database: Database;
  readonly #subject: Subject;
  readonly #filter: Filter | undefined;
  readonly #known: Map<string, Standing>;

  /** `known` are the roots that the watcher has; it is changed here. Without a filter it is not asked. */
  constructor(database: Database, subject: Subject, filter: Filter | undefined, known: Map<string, Standing>) {
    this.#database = database;
    this.#subject = subject;
    this.#filter = filter;
    this.#known = known;
  }

  /** What the watcher is told of the next change. */
  async translate(change: Change): Promise<readonly FeedEvent[]> {
    const id = this.#subject.rootOf(change);
    if (id === undefined) return [];
    if (this.#filter === undefined) return [change];
    const standing = this.#known.get(id);
    if (change.noun !== this.#subject.root) {
      return standing !== undefined && change.sequence > standing.since ? [change] : [];
    }
    if (change.kind === "DELETED" || !matchesFilter(this.#filter, this.#subject.filterFields, change.resource)) {
      this.#known.delete(id);
      return standing === undefined ? [] : [{ ...change, kind: "DELETED" }];
    }
    if (standing?.sure) return [change];
    return await this.#enter(id, change);
  }

  async #enter(id: string, change: Change): Promise<readonly FeedEvent[]> {
    if (change.kind === "CREATED") {
      this.#known.set(id, { since: change.sequence, sure: true });
      return [change];
    }
    const { sequence, parts } = await this.#database.snapshot(async (tx) => ({
      sequence: await currentSequence(tx),
      parts: await this.#subject.readParts(tx, this.#subject.isRoot(id)),
    }));
    this.#known.set(id, { since: sequence, sure: true });
    const created = { time: change.time, kind: "CREATED" } as const;
    return [
      // Before the root and with the place before its own: who breaks off in between and resumes there gets all of it again.
      ...parts.map((part): FeedEvent => ({ ...created, sequence: change.sequence - 1, ...part })),
      { ...change, ...created },
    ];
  }
}
