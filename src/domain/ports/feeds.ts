import type { Assignment } from "../assignment.ts";
import type { Download } from "../download.ts";
import type { Filter } from "../filter.ts";
import type { Alias, Model, Version } from "../model.ts";
import type { Worker } from "../worker.ts";

/** What events are about, by the names of the contract's oneof. */
export interface Resources {
  readonly model: Model;
  /** Without its files. */
  readonly version: Version;
  readonly alias: Alias;
  readonly download: Download;
  readonly worker: Worker;
  readonly assignment: Assignment;
}

/** A resource with the name of its kind. */
export type Named = {
  [Noun in keyof Resources]: { readonly noun: Noun; readonly resource: Resources[Noun] };
}[keyof Resources];

interface Place {
  /** Its place in the feed of all changes. */
  readonly sequence: number;
  readonly time: Date;
}

/** A committed change, with the resource as it is after it, or was before its deletion. */
export type Change = Place & { readonly kind: "CREATED" | "UPDATED" | "DELETED" } & Named;

/** What a watcher is told; see the contract's `Event`. */
export type FeedEvent =
  | Change
  | (Place & { readonly kind: "SNAPSHOT" } & Named)
  | (Place & { readonly kind: "BOOKMARK" });

/** Asks for a part of the feed. */
export interface WatchRequest {
  /** Which models or workers; what belongs to one follows it. Absent: all. */
  readonly filter?: Filter;
  /** Only what came after; absent: a snapshot and a BOOKMARK first. */
  readonly afterSequence?: number;
  /** Ends the watch with its reason. */
  readonly signal: AbortSignal;
}

/**
 * The feed of committed changes, without gap, duplicate or reorder. A watch goes on until its signal is aborted, and stays
 * open while the database is away. It has a BOOKMARK whenever it has caught up, and every 25 s.
 *
 * It fails with SEQUENCE_EXPIRED if the feed does not have what came after the sequence, and with WATCHER_TOO_SLOW if
 * events come faster than they are taken.
 */
export interface Feeds {
  /** Models, and their versions, aliases and downloads. */
  watchModels(request: WatchRequest): AsyncIterable<FeedEvent>;
  /** Workers, and their assignments. */
  watchWorkers(request: WatchRequest): AsyncIterable<FeedEvent>;
}
