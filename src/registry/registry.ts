import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "drizzle-orm";
import { isDomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { BlobAdmissions } from "../domain/ports/blob-admissions.ts";
import type { DamageRecords } from "../domain/ports/damage.ts";
import type { DownloadJobs } from "../domain/ports/download-jobs.ts";
import type { Feeds } from "../domain/ports/feeds.ts";
import type { HealthProbe } from "../domain/ports/health.ts";
import type { Models } from "../domain/ports/models.ts";
import type { QuotaRecords } from "../domain/ports/quota.ts";
import type { BlobRecords } from "../domain/ports/storage.ts";
import type { Workers } from "../domain/ports/workers.ts";
import { createBlobAdmissions } from "./blob-admissions.ts";
import { createBlobRecords } from "./blob-records.ts";
import { createDamageRecords } from "./damage.ts";
import { type ConnectionTarget, Database, type DatabaseOptions } from "./database.ts";
import { databaseUnavailable } from "./database-errors.ts";
import { DatabaseSetupError } from "./database-setup-error.ts";
import { endAllLeases } from "./download-leases.ts";
import { createDownloadJobs } from "./downloads.ts";
import { createFeeds, type FeedOptions } from "./feed/feeds.ts";
import { ReadNotes } from "./last-used.ts";
import { migrateDatabase } from "./migrate.ts";
import { createModels } from "./models.ts";
import { createQuotaRecords } from "./quota.ts";
import { Sweeper } from "./sweeper.ts";
import { createWorkers } from "./workers.ts";

export interface RegistryOptions extends DatabaseOptions {
  /** Where migrations run and notices are heard: past any pooler. Default: `connection`. */
  readonly directConnection?: ConnectionTarget;
  /** The folder that holds the migrations and their journal. */
  readonly migrationsFolder: string;
  readonly log: Logger;
  /** How long a worker is taken to be alive after a heartbeat, in milliseconds. */
  readonly workerLeaseMs: number;
  /** No other process can use this database: what earlier ones worked on is taken up at once. Default false. */
  readonly exclusive?: boolean;
  /** How far watches may fall behind, and how often they have a BOOKMARK. */
  readonly feed?: Pick<FeedOptions, "capacity" | "bookmarkMs">;
}

/** The ports that a database serves. Each call raises DATABASE_UNAVAILABLE within seconds while the database is away. */
export interface Registry {
  readonly models: Models;
  readonly jobs: DownloadJobs;
  readonly workers: Workers;
  readonly feeds: Feeds;
  readonly blobs: BlobRecords;
  readonly admissions: BlobAdmissions;
  readonly damage: DamageRecords;
  readonly quota: QuotaRecords;
  /** Whether the database answers, takes writes, and its schema is there. */
  readonly probe: HealthProbe;
  /**
   * Resolves when the schema is there: at once unless the database was away at the start. Rejects with a
   * `DatabaseSetupError` if the database came and cannot be used.
   */
  readonly ready: Promise<void>;
  /** Declares workers OFFLINE when their leases run out, from now on, in turn with other processes. */
  startSweeper(): void;
  /** Ends all work and all connections. */
  close(): Promise<void>;
}

const MIGRATION_RETRY_MS = 500;

/**
 * Opens the registry and brings its schema up to date. If the database is away, the registry is there all the same: it
 * goes on trying, and its calls raise DATABASE_UNAVAILABLE until it succeeds.
 *
 * @throws DatabaseSetupError if the database is there and cannot be used, such as for a wrong password.
 */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { log, workerLeaseMs, directConnection = options.connection, migrationsFolder } = options;
  const database = new Database(options);
  const closed = new AbortController();
  let told = "";

  /** Answers whether the schema is there now. */
  async function prepare(): Promise<boolean> {
    try {
      await migrateDatabase(directConnection, migrationsFolder, closed.signal);
      database.open();
      if (options.exclusive) await endAllLeases(database);
      return true;
    } catch (error) {
      const away = error instanceof DatabaseSetupError ? error.transient : isDomainError(error, "DATABASE_UNAVAILABLE");
      if (!away || !(error instanceof Error)) throw error;
      log[error.message === told ? "debug" : "warn"]("the database is away: waiting for it", { cause: error.message });
      told = error.message;
      return false;
    }
  }

  async function prepareLater(): Promise<void> {
    do await sleep(MIGRATION_RETRY_MS, undefined, { signal: closed.signal });
    while (!(await prepare()));
    log.info("the database is there");
  }

  let ready: Promise<void>;
  try {
    ready = (await prepare()) ? Promise.resolve() : prepareLater();
  } catch (error) {
    await database.close();
    throw error;
  }
  // Whoever does not wait for it learns of a failure from the calls that follow.
  ready.catch(() => {});

  const sweeper = new Sweeper(database, log);
  const feeds = createFeeds(database, { ...options.feed, direct: directConnection, log });
  return {
    models: createModels(database, new ReadNotes(database, log)),
    jobs: createDownloadJobs(database),
    blobs: createBlobRecords(database),
    admissions: createBlobAdmissions(database),
    damage: createDamageRecords(database),
    quota: createQuotaRecords(database),
    workers: createWorkers(database, workerLeaseMs),
    feeds,
    probe: {
      async check(signal) {
        signal.throwIfAborted();
        const [row] = await database.read((db) =>
          db.execute<{ read_only: string }>(sql`select current_setting('transaction_read_only') as read_only`),
        );
        if (row?.read_only === "on") throw databaseUnavailable(new Error("the database takes no writes now"));
      },
    },
    ready,
    startSweeper: () => sweeper.start(),
    async close() {
      closed.abort();
      await ready.catch(() => {});
      await Promise.all([sweeper.stop(), feeds.close()]);
      await database.close();
    },
  };
}
