import { randomUUID } from "node:crypto";
import { readdir, rm, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Logger } from "../../domain/logger.ts";
import type { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { Semaphore } from "../../lib/semaphore.ts";
import { isMissing } from "../../lib/system-error.ts";
import { contentKey } from "./content-key.ts";
import { findFormerParts } from "./former-parts.ts";
import { HashPool } from "./hash-pool.ts";
import type { PartTools } from "./part.ts";
import { partError } from "./part-errors.ts";
import { namesIn, ownerOf, removeIfEmpty } from "./part-names.ts";
import { readBootId } from "./part-record.ts";
import { SlabPool } from "./slab-pool.ts";
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
  /** Connections of all transfers together. */
  readonly maxConnections: number;
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
const MAX_HASH_THREADS = 4;
const SLABS = 48;
const PART_LIFETIME_MS = 24 * 3600_000;

/** The transfers of this process, into part files below a folder. */
export async function createTransfer(options: TransferOptions): Promise<Transfer> {
  const { spool, log, clock, random, isLive, maxConnections } = options;
  const parts: PartTools = {
    hashes: new HashPool(Math.min(availableParallelism(), MAX_HASH_THREADS)),
    slabs: new SlabPool(SLABS),
    clock,
    bootId: await readBootId(),
    writer: randomUUID(),
    open: new Set(),
  };
  const tools: TransferTools = {
    spool,
    tools: parts,
    isLive,
    copying: new Semaphore(1),
    log,
    clock,
    random,
    connections: new Semaphore(maxConnections),
    stallMs: options.stallMs ?? DEFAULT_STALL_MS,
    backoff: options.backoff ?? DEFAULT_BACKOFF,
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
          const [best] = await findFormerParts(spool, lease, file, parts, isLive);
          if (best === undefined) continue;
          kept += best.trusted;
          if (best.foreign) copied = Math.max(copied, best.trusted);
        }
      } catch (error) {
        throw partError(error);
      }
      return { kept, copied };
    },
    sweep: () => sweepParts(spool, isLive, clock.date().getTime() - PART_LIFETIME_MS),
    close: () => parts.hashes.close(),
  };
}

/** Takes away files below the spool that were last written before `before` and whose download has ended. */
async function sweepParts(spool: string, isLive: IsLive, before: number): Promise<void> {
  for (const key of await namesIn(spool)) {
    const folder = join(spool, key);
    for (const name of await namesIn(folder)) {
      const path = join(folder, name);
      const downloadId = ownerOf(name);
      if (downloadId === undefined || (await lastWritten(path)) >= before || (await isLive(downloadId))) continue;
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
