import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { isTerminal } from "../domain/download.ts";
import { isDomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { DownloadJobs } from "../domain/ports/download-jobs.ts";
import type { Downloads } from "../domain/ports/downloads.ts";
import type { MetadataReader } from "../domain/ports/metadata.ts";
import type { Models } from "../domain/ports/models.ts";
import type { Quota } from "../domain/ports/quota.ts";
import type { Room } from "../domain/ports/room.ts";
import type { Sources } from "../domain/ports/sources.ts";
import type { Backoff } from "../lib/backoff.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { KeyedLock } from "../lib/keyed-lock.ts";
import type { Portion } from "../lib/portion.ts";
import { CallCredentials } from "./call-credentials.ts";
import { DiskRoom } from "./disk-room.ts";
import type { ParkingBackoff } from "./parking.ts";
import { ProgressHub } from "./progress/hub.ts";
import { TokenBucket } from "./rate-limit.ts";
import { Scheduler } from "./scheduler.ts";
import { createTransfer } from "./transfer/engine.ts";

export interface DownloadsOptions {
  readonly jobs: DownloadJobs;
  /** Asked for a model's source before a download of it is recorded. */
  readonly models: Pick<Models, "get">;
  readonly store: BlobStore;
  readonly sources: Sources;
  /** Asked for what the files of a new version say. */
  readonly metadata: MetadataReader;
  /** Licenses that may be downloaded, in lower case, `unknown` for none said; absent for any. */
  readonly allowedLicenses?: readonly string[];
  /** Makes room in the store for what is planned; absent for a store without a limit. */
  readonly quota?: Quota;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Answers 0 up to, not including, 1. */
  readonly random?: () => number;
  /** Downloads of this process at once. */
  readonly maxDownloads: number;
  /** Connections to sources of this process at once. */
  readonly maxConnections: number;
  /** Whether no other process can work on these downloads: parts of earlier ones need not be copied. Default false. */
  readonly exclusive?: boolean;
  /** Of these, to one host. Default 32. */
  readonly maxHostConnections?: number;
  /** Bytes a second of all downloads of this process; absent for no limit. */
  readonly rateLimit?: number;
  /** What stays free on the store's disk. Default: the larger of 5 % of it and 1 GiB. */
  readonly headroom?: Portion;
  /** Waiting times and limits that tests shorten; see where they are used for their defaults. */
  readonly timing?: DownloadsTiming;
}

interface DownloadsTiming {
  readonly leaseMs?: number;
  readonly renewMs?: number;
  readonly pollMs?: number;
  readonly stallMs?: number;
  readonly sourceBackoff?: Backoff;
  readonly parkingBackoff?: ParkingBackoff;
}

/** The downloads of a process, and the work on them. */
export interface DownloadsService {
  readonly downloads: Downloads;
  /** What the downloads that run here, and whoever else reserves room, will still write, in bytes. */
  reservedBytes(): number;
  /** The room that downloads reserve theirs of. */
  readonly room: Room;
  /** Begins to work on downloads, those of earlier processes too. */
  start(): void;
  /** Parks running downloads for the next start within `graceMs`, and ends watches with SHUTTING_DOWN. */
  stop(graceMs: number): Promise<void>;
}

const SWEEP_MS = 60_000;
/** So long after its last byte a part of an ended download waits for another one of the same content. */
const PART_LIFETIME_MS = 10 * 60_000;
/** A failed download is resumed, or asked for again, by people. */
const FAILED_PART_LIFETIME_MS = 24 * 3600_000;
const SOURCE_BACKOFF: Backoff = { baseMs: 500, maxMs: 30_000 };

/** Builds the download pipeline of a process. */
export async function createDownloads(options: DownloadsOptions): Promise<DownloadsService> {
  const { jobs, models, store, sources, log, clock = systemClock, random = Math.random, timing = {} } = options;
  const { rateLimit } = options;
  const { stallMs, sourceBackoff = SOURCE_BACKOFF, ...pace } = timing;

  const isLive = async (downloadId: string) => {
    try {
      return !isTerminal((await jobs.get(downloadId)).state);
    } catch (error) {
      // In doubt it is, and what is its stays.
      return !isDomainError(error, "DOWNLOAD_NOT_FOUND");
    }
  };
  const isKept = async (downloadId: string) => {
    try {
      const { state, endTime } = await jobs.get(downloadId);
      if (!isTerminal(state)) return true;
      const endedMs = clock.date().getTime() - (endTime?.getTime() ?? 0);
      return state === "FAILED" && endedMs < FAILED_PART_LIFETIME_MS;
    } catch (error) {
      return !isDomainError(error, "DOWNLOAD_NOT_FOUND");
    }
  };
  const transfer = await createTransfer({
    spool: store.spoolDirectory,
    log,
    clock,
    random,
    isLive,
    maxConnections: options.maxConnections,
    maxHostConnections: options.maxHostConnections,
    alone: options.exclusive,
    stallMs,
    backoff: sourceBackoff,
  });
  const credentials = new CallCredentials();
  const room = new DiskRoom(store, options.headroom);
  const hub = new ProgressHub(jobs, clock, log);
  const scheduler = new Scheduler({
    tools: {
      jobs,
      store,
      sources,
      metadata: options.metadata,
      allowedLicenses: options.allowedLicenses,
      transfer,
      room,
      quota: options.quota,
      credentials,
      limiter: rateLimit === undefined ? undefined : new TokenBucket(rateLimit, clock),
      contents: new KeyedLock(),
      clock,
      random,
      sourceBackoff,
    },
    hub,
    log,
    owner: `${hostname()}-${randomUUID()}`,
    maxDownloads: options.maxDownloads,
    ...pace,
  });

  const sweep = async () => {
    try {
      await transfer.sweep(PART_LIFETIME_MS, isKept);
      await credentials.tidy(isLive);
      log.debug("left-over parts were swept");
    } catch (error) {
      log.warn("left-over parts could not be swept", { error });
    }
  };
  let stopSweeps: (() => void) | undefined;

  return {
    downloads: {
      async start(request) {
        const { source } = await models.get(request.modelId);
        sources.assertDownloadable(source.kind);
        const { download } = await credentials.keep(request.credential, () => jobs.start(request));
        scheduler.wake();
        return download;
      },
      get: (downloadId) => jobs.get(downloadId),
      list: (request) => jobs.list(request),
      // Ids may be spelled in capitals; the record does not mind, and answers them in small letters.
      watch: (downloadId, signal) => hub.watch(downloadId.toLowerCase(), signal),
      async update(downloadId, changes) {
        const download = await jobs.update(downloadId, changes);
        scheduler.limit(download.id, download.rateLimit);
        return download;
      },
      async pause(downloadId) {
        const download = await jobs.pause(downloadId);
        scheduler.drop(download.id);
        return download;
      },
      async resume(downloadId) {
        const download = await jobs.resume(downloadId);
        scheduler.wake();
        return download;
      },
      async cancel(downloadId) {
        const download = await jobs.cancel(downloadId);
        scheduler.drop(download.id);
        credentials.forget(download.id);
        return download;
      },
    },
    reservedBytes: () => room.reservedBytes,
    room,
    start() {
      stopSweeps = clock.every(SWEEP_MS, () => void sweep());
      void sweep();
      scheduler.start();
    },
    async stop(graceMs) {
      stopSweeps?.();
      await scheduler.stop(graceMs);
      hub.close();
      await transfer.close();
    },
  };
}
