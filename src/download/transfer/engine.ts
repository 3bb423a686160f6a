import { randomUUID } from "node:crypto";
import { readdir, rm, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Logger } from "../../domain/logger.ts";
import { partError } from "../../domain/part-error.ts";
import type { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { Semaphore } from "../../lib/semaphore.ts";
import { isMissing } from "../../lib/system-error.ts";
import { ConnectionBudget } from "./connection-budget.ts";
import { HostCircuits } from "./host-circuits.ts";
import { Lane } from "./lane/lane.ts";
import { readBootId } from "./parts/boot-id.ts";
import { contentKey } from "./parts/content-key.ts";
import { findFormerParts } from "./parts/former-parts.ts";
import { namesIn, ownerOf, removeIfEmpty } from "./parts/part-names.ts";
import type { IsLive, Transfer } from "./transfer.ts";
import { type TransferTools, transferFile } from "./transfer-file.ts";

export interface TransferOptions {
  /** The folder of part files; see {@link BlobStore.spoolDirectory}. */
  readonly spool: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Answers 0 up to, not including, 1. */
  readonly random: () => number;
  readonly isLive: IsLive;
  /** Whether no other process can use the spool; see {@link PartSeeker.alone}. Default false. */
  readonly alone?: boolean;
  /** Connections of all transfers together. */
  readonly maxConnections: number;
  /** Connections of all transfers to one host. Default 32. */
  readonly maxHostConnections?: number;
  /** A source that sends nothing for so long is given up. Default 30 s. */
  readonly stallMs?: number;
  /** Waiting times after failures. Default 0.5 s, doubling up to 30 s. */
  readonly backoff?: Backoff;
  /** So many failures in a row without a new byte end a transfer. Default 8. */
  readonly maxFailures?: number;
}

const DEFAULT_STALL_MS = 30_000;
const DEFAULT_BACKOFF: Backoff = { baseMs: 500, maxMs: 30_000 };
const DEFAULT_MAX_FAILURES = 8;
const DEFAULT_HOST_CONNECTIONS = 32;
const MAX_LANES = 4;
/** One reads and one hashes, and the system's own write beside them. */
const THREADS_PER_LANE = 2;
/** Blocks in memory, of all lanes together: what a process needs for its transfers, however many they are. */
const SLABS = 44;
const TICK_MS = 50;

/** The transfers of this process, into part files below a folder. */
export async function createTransfer(options: TransferOptions): Promise<Transfer> {
  const { spool, log, clock, random, isLive, maxConnections, stallMs = DEFAULT_STALL_MS } = options;
  const { backoff = DEFAULT_BACKOFF } = options;
  const lanes = new Lanes(
    Math.min(MAX_LANES, Math.ceil(availableParallelism() / THREADS_PER_LANE)),
    Math.min(TICK_MS, stallMs / 3),
  );
  const seeker = {
    spool,
    isLive,
    bootId: await readBootId(),
    writer: randomUUID(),
    alone: options.alone ?? false,
    open: new Set<string>(),
  };
  const tools: TransferTools = {
    ...seeker,
    copying: new Semaphore(1),
    lane: () => lanes.next(),
    log,
    clock,
    random,
    budget: new ConnectionBudget(maxConnections, options.maxHostConnections ?? DEFAULT_HOST_CONNECTIONS),
    circuits: new HostCircuits(clock, random, backoff),
    stallMs,
    backoff,
    maxFailures: options.maxFailures ?? DEFAULT_MAX_FAILURES,
  };
  return {
    transferFile: (request) => transferFile(tools, request),
    survey: async (lease, files) => {
      let [kept, copied] = [0, 0];
      try {
        const contents = new Set(await readdir(spool));
        for (const file of files) {
          if (!contents.has(contentKey(file))) continue;
          const [best] = await findFormerParts(seeker, lease, file);
          if (best === undefined) continue;
          kept += best.bytes;
          if (best.foreign) copied = Math.max(copied, best.bytes);
        }
      } catch (error) {
        throw partError(error);
      }
      return { kept, copied };
    },
    sweep: (idleMs, isKept) => sweepParts(spool, isKept, clock.date().getTime() - idleMs),
    close: () => lanes.close(),
  };
}

/** The lanes of a process, each begun when it is first needed. */
class Lanes {
  readonly #lanes: (Lane | undefined)[];
  readonly #tickMs: number;

  constructor(count: number, tickMs: number) {
    this.#lanes = Array.from({ length: count }, () => undefined);
    this.#tickMs = tickMs;
  }

  /** The one with the fewest files. */
  next(): Lane {
    const load = (lane: Lane | undefined) => (lane?.isAlive ? lane.load : 0);
    let chosen = 0;
    for (const [index, lane] of this.#lanes.entries()) if (load(lane) < load(this.#lanes[chosen])) chosen = index;
    const usable = this.#lanes[chosen];
    const lane = usable?.isAlive
      ? usable
      : new Lane({ slabs: Math.floor(SLABS / this.#lanes.length), tickMs: this.#tickMs });
    this.#lanes[chosen] = lane;
    return lane;
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane?.close()));
    this.#lanes.fill(undefined);
  }
}

/** Takes away files below the spool that were last written before `before`, but for those that are kept for their download. */
async function sweepParts(spool: string, isKept: IsLive, before: number): Promise<void> {
  for (const key of await namesIn(spool)) {
    const folder = join(spool, key);
    for (const name of await namesIn(folder)) {
      const path = join(folder, name);
      const downloadId = ownerOf(name);
      if (downloadId === undefined || (await lastWritten(path)) >= before || (await isKept(downloadId))) continue;
      await rm(path, { force: true });
    }
    await removeIfEmpty(folder).catch(() => {});
  }
}

async function lastWritten(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isMissing(error)) return Number.POSITIVE_INFINITY;
    throw error;
  }
}
