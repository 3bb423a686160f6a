import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "drizzle-orm";
import { isDomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { DownloadJobs } from "../domain/ports/download-jobs.ts";
import type { HealthProbe } from "../domain/ports/health.ts";
import type { Models } from "../domain/ports/models.ts";
import type { BlobRecords } from "../domain/ports/storage.ts";
import type { Workers } from "../domain/ports/workers.ts";
import { createBlobRecords } from "./blob-records.ts";
import { type ConnectionTarget, Database, type DatabaseOptions } from "./database.ts";
import { endAllLeases } from "./download-leases.ts";
import { createDownloadJobs } from "./downloads.ts";
import { migrateDatabase } from "./migrate.ts";
import { createModels } from "./models.ts";
import { Sweeper } from "./sweeper.ts";
import { createWorkers } from "./workers.ts";

export interface RegistryOptions extends DatabaseOptions {
  /** Where migrations run: past any pooler. Default: `connection`. */
  readonly directConnection?: ConnectionTarget;
  /** The folder that holds the migrations and their journal. */
  readonly migrationsFolder: string;
  readonly log: Logger;
  /** How long a worker is taken to be alive after a heartbeat, in milliseconds. */
  readonly workerLeaseMs: number;
  /** No other process can use this database: what earlier ones worked on is taken up at once. Default false. */
  readonly exclusive?: boolean;
}

/** The ports that a database serves. Each call raises DATABASE_UNAVAILABLE within seconds while the database is away. */
export interface Registry {
  readonly models: Models;
  readonly jobs: DownloadJobs;
  readonly workers: Workers;
  readonly blobs: BlobRecords;
  /** Whether the database answers and its schema is there. */
  readonly probe: HealthProbe;
  /** Resolves when the schema is there: at once unless the database was away at the start. */
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
 * @throws whatever else a migration fails with.
 */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { log, workerLeaseMs, directConnection = options.connection, migrationsFolder } = options;
  const database = new Database(options);
  const closed = new AbortController();
  let warned = false;

  /** Answers whether the schema is there now. */
  async function prepare(): Promise<boolean> {
    try {
      await migrateDatabase(directConnection, migrationsFolder, closed.signal);
      database.open();
      if (options.exclusive) await endAllLeases(database);
      return true;
    } catch (error) {
      if (!isDomainError(error, "DATABASE_UNAVAILABLE")) throw error;
      log[warned ? "debug" : "warn"]("the database is away: waiting for it", { error });
      warned = true;
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
  ready.catch((error: unknown) => {
    if (!closed.signal.aborted) log.error("the database's schema cannot be brought up to date", { error });
  });

  const sweeper = new Sweeper(database, log);
  return {
    models: createModels(database),
    jobs: createDownloadJobs(database),
    blobs: createBlobRecords(database),
    workers: createWorkers(database, workerLeaseMs),
    probe: {
      async check(signal) {
        signal.throwIfAborted();
        await database.read((db) => db.execute(sql`select 1`));
      },
    },
    ready,
    startSweeper: () => sweeper.start(),
    async close() {
      closed.abort();
      await ready.catch(() => {});
      await sweeper.stop();
      await database.close();
    },
  };
}
