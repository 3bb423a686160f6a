import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Download, Progress } from "../../../src/domain/download.ts";
import type { BlobStore } from "../../../src/domain/ports/blob-store.ts";
import type { DamageRecords } from "../../../src/domain/ports/damage.ts";
import type { DownloadJobs } from "../../../src/domain/ports/download-jobs.ts";
import type { StartDownload } from "../../../src/domain/ports/downloads.ts";
import type { Models } from "../../../src/domain/ports/models.ts";
import type { QuotaRecords } from "../../../src/domain/ports/quota.ts";
import type { Sources } from "../../../src/domain/ports/sources.ts";
import type { BlobRecords } from "../../../src/domain/ports/storage.ts";
import type { HttpFile } from "../../../src/domain/source.ts";
import { createDownloads, type DownloadsOptions, type DownloadsService } from "../../../src/download/downloads.ts";
import { createMetadataReader } from "../../../src/metadata/metadata.ts";
import { createBlobRecords } from "../../../src/registry/blob-records.ts";
import { createDamageRecords } from "../../../src/registry/damage.ts";
import { Database } from "../../../src/registry/database.ts";
import { createDownloadJobs } from "../../../src/registry/downloads.ts";
import { migrateDatabase } from "../../../src/registry/migrate.ts";
import { createModels } from "../../../src/registry/models.ts";
import { createQuotaRecords } from "../../../src/registry/quota.ts";
import { createDiskStore } from "../../../src/store/disk.ts";
import { httpSource, silent, testSources } from "../../sources/helpers.ts";
import { createTestDatabase } from "../../support/database.ts";

/** A registry, a store and sources that replicas of the service share. */
export interface Cluster {
  readonly jobs: DownloadJobs;
  readonly blobs: BlobRecords;
  readonly damage: DamageRecords;
  readonly quota: QuotaRecords;
  readonly models: Models;
  readonly store: BlobStore;
  readonly sources: Sources;
  readonly directory: string;
  /** Another replica, not started yet; it is stopped with the cluster. */
  replica(options?: Partial<DownloadsOptions>): Promise<DownloadsService>;
  /** Registers a model whose files are at these addresses. */
  model(...files: (Partial<HttpFile> & { url: string })[]): Promise<string>;
  close(): Promise<void>;
}

const FAST = { pollMs: 50, renewMs: 100, sourceBackoff: { baseMs: 5, maxMs: 20 } };

/** Makes a cluster over a database and a folder of its own. */
export async function createCluster(): Promise<Cluster> {
  const database = await createTestDatabase();
  const migrations = join(import.meta.dirname, "../../../src/registry/migrations");
  await migrateDatabase(database.connection, migrations, new AbortController().signal);
  const connections = new Database({ connection: database.connection, log: silent, maxConnections: 20 });
  connections.open();
  const directory = await mkdtemp(join(os.tmpdir(), "downloads-"));
  const store = await createDiskStore({ directory, log: silent });
  const jobs = createDownloadJobs(connections);
  const models = createModels(connections);
  const sources = testSources();
  const replicas: DownloadsService[] = [];
  let made = 0;
  return {
    jobs,
    blobs: createBlobRecords(connections),
    damage: createDamageRecords(connections),
    quota: createQuotaRecords(connections),
    models,
    store,
    sources,
    directory,
    async replica(options = {}) {
      const service = await createDownloads({
        jobs,
        models,
        store,
        sources,
        metadata: createMetadataReader({ store, log: silent }),
        log: silent,
        maxDownloads: 4,
        maxConnections: 16,
        headroom: { bytes: 0 },
        ...options,
        timing: { ...FAST, ...options.timing },
      });
      replicas.push(service);
      return service;
    },
    async model(...files) {
      made += 1;
      const { id } = await models.create(
        {
          id: `test/model-${made}`,
          type: "OTHER",
          displayName: "",
          description: "",
          labels: {},
          baseModelId: "",
          source: httpSource(...files),
        },
        {},
      );
      return id;
    },
    async close() {
      await Promise.all(replicas.map((replica) => replica.stop(5_000)));
      await sources.close();
      await connections.close();
      await database.drop();
      await rm(directory, { recursive: true });
    },
  };
}

/** Asks for a download of all of a model's source. */
export function downloadOf(modelId: string, changes: Partial<StartDownload> = {}): StartDownload {
  return { modelId, revision: "", allowPatterns: [], ignorePatterns: [], priority: 0, ...changes };
}

/** Another replica that works until the test has finished. */
export async function running(cluster: Cluster, options?: Partial<DownloadsOptions>): Promise<DownloadsService> {
  const service = await cluster.replica(options);
  onTestFinished(() => service.stop(1000));
  service.start();
  return service;
}

/** Watches a download to its end; answers all messages. */
export async function watchAll(service: DownloadsService, downloadId: string): Promise<Progress[]> {
  const messages: Progress[] = [];
  for await (const progress of service.downloads.watch(downloadId, new AbortController().signal))
    messages.push(progress);
  return messages;
}

/** Starts a download and waits for its end. */
export async function download(
  service: DownloadsService,
  modelId: string,
  changes?: Partial<StartDownload>,
): Promise<{ started: Download; messages: Progress[]; last: Progress }> {
  const started = await service.downloads.start(downloadOf(modelId, changes));
  const messages = await watchAll(service, started.id);
  const last = messages.at(-1);
  if (last === undefined) throw new Error("the watch told nothing");
  return { started, messages, last };
}

/** Watches a download until `when` holds of a message. */
export async function watchUntil(
  service: DownloadsService,
  downloadId: string,
  when: (progress: Progress) => boolean,
): Promise<Progress> {
  for await (const progress of service.downloads.watch(downloadId, new AbortController().signal)) {
    if (when(progress)) return progress;
  }
  throw new Error("the download ended before");
}
