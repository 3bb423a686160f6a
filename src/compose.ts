import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openNamedPath } from "./config/named-path.ts";
import { readTlsFiles } from "./config/tls-files.ts";
import type { Config } from "./config.ts";
import { createSendHandler } from "./delivery/send.ts";
import type { Logger } from "./domain/logger.ts";
import type { BlobStore } from "./domain/ports/blob-store.ts";
import { createDownloads } from "./download/downloads.ts";
import { addServices } from "./handlers/routes.ts";
import { packageVersion } from "./lib/package-version.ts";
import { createMetadataReader } from "./metadata/metadata.ts";
import { superviseEmbeddedPostgres } from "./registry/embedded/supervisor.ts";
import { createRegistry } from "./registry/registry.ts";
import { BLOBS_PATH, createBlobRoutes } from "./rpc/blob-routes.ts";
import { createHealthMonitor } from "./rpc/health-monitor.ts";
import { createPlainRoutes } from "./rpc/port/plain-routes.ts";
import { createPort } from "./rpc/port/port.ts";
import { createRpcHandler } from "./rpc/server.ts";
import { createTokenCheck, requireToken } from "./rpc/token.ts";
import { createCredentialsFile } from "./sources/credentials-file.ts";
import { createSources } from "./sources/sources.ts";
import { createDiskStore } from "./store/disk.ts";
import { createMaintenance } from "./store/maintenance.ts";
import { createQuota } from "./store/quota.ts";
import { createUploads } from "./uploads/uploads.ts";

/** The whole service, built and not yet listening. */
export interface Service {
  /** Listens and begins to work; answers where. */
  start(): Promise<{ url: string }>;
  /** Rejects if the database was away at the start, has come, and cannot be used: an operator has to act. */
  readonly ready: Promise<void>;
  /** Refuses new work, lets running calls end within `graceMs`, parks downloads, and closes everything in reverse order. */
  stop(graceMs: number): Promise<void>;
}

/**
 * Builds every part of the service and joins them; nothing else knows more than one implementation. What was opened is
 * closed again if a later part cannot be.
 */
export async function compose(config: Config, log: Logger): Promise<Service> {
  await using opened = new AsyncDisposableStack();
  // Of a start that fails; moved when a stop begins.
  let stopBy = performance.now() + config.shutdownGraceMs;
  /** What is left of the grace period, in milliseconds. */
  const grace = () => Math.max(0, stopBy - performance.now());

  const tls = config.tls && (await readTlsFiles(config.tls));
  const store = await openStore(config, log.child({ room: "store" }), opened);
  const database = await openDatabase(config, log.child({ room: "database" }), opened);
  const registry = await createRegistry({
    ...database,
    migrationsFolder: migrationsFolder(),
    workerLeaseMs: config.workerLeaseMs,
    log: log.child({ room: "registry" }),
  });
  opened.defer(() => registry.close());
  const { models, workers, feeds } = registry;

  const credentials = createCredentialsFile({ path: config.credentials, log });
  const sources = createSources({
    allowNetworks: config.allowNetworks,
    localRoots: config.localRoots,
    hfEndpoint: config.huggingFace.endpoint,
    hfToken: config.huggingFace.token,
    s3: config.s3,
    credentials,
    proxies: config.proxies,
    userAgent: `model-manager/${packageVersion()}`,
    log: log.child({ room: "sources" }),
  });
  opened.defer(() => sources.close());

  const quota =
    config.quota === undefined
      ? undefined
      : createQuota({
          quotaBytes: config.quota,
          quota: registry.quota,
          records: registry.blobs,
          store,
          log: log.child({ room: "store" }),
        });
  const metadata = createMetadataReader({ store, log: log.child({ room: "metadata" }) });
  const downloads = await createDownloads({
    jobs: registry.jobs,
    models,
    store,
    sources,
    metadata,
    allowedLicenses: config.allowedLicenses,
    log: log.child({ room: "download" }),
    maxDownloads: config.maxDownloads,
    maxConnections: config.maxConnections,
    maxHostConnections: config.maxHostConnections,
    exclusive: database.exclusive,
    rateLimit: config.rateLimit,
    headroom: config.headroom,
    quota,
  });
  let parked: Promise<void> | undefined;
  const parkDownloads = () => (parked ??= downloads.stop(grace()));
  opened.defer(parkDownloads);

  const uploads = createUploads({
    store,
    admissions: registry.admissions,
    models,
    room: downloads.room,
    quota,
    metadata,
    exclusive: database.exclusive,
    log: log.child({ room: "uploads" }),
  });
  opened.defer(() => uploads.stop());

  const maintenance = createMaintenance({
    store,
    records: registry.blobs,
    damage: registry.damage,
    downloads,
    quotaBytes: config.quota,
    scrubRate: config.scrubRate,
    log: log.child({ room: "store" }),
  });
  opened.defer(() => maintenance.stop());
  const { storage } = maintenance;
  const health = createHealthMonitor({ database: registry.probe, store, log });
  const shutdown = new AbortController();
  const checkToken = createTokenCheck(config.token);
  const rpc = createRpcHandler({
    routes: (router) =>
      addServices(router, {
        models,
        workers,
        feeds,
        storage,
        credentials,
        downloads: downloads.downloads,
        versions: uploads.versions,
      }),
    health,
    checkToken,
    shutdown: shutdown.signal,
    maxMessageBytes: config.maxMessageBytes,
    log: log.child({ room: "rpc" }),
  });
  const routes = createPlainRoutes({
    about: {
      name: "model-manager",
      version: packageVersion(),
      links: { health: "/health" },
      services: rpc.services,
    },
    health: health.summary,
    rpc: rpc.handle,
    areas: {
      [BLOBS_PATH]: createBlobRoutes({
        send: createSendHandler({ store, admissions: registry.admissions }),
        receive: uploads.receive,
        shutdown: shutdown.signal,
        log: log.child({ room: "blobs" }),
      }),
    },
  });

  const running = opened.move();
  return {
    async start() {
      await health.start();
      const port = await createPort({
        handler: requireToken(checkToken, (path) => path === "/health" || rpc.serves(path), routes),
        host: config.host,
        port: config.port,
        tls,
        log: log.child({ room: "port" }),
      });
      running.defer(async () => {
        // Both at once: a call that never ends would leave the downloads no time.
        await Promise.all([port.close(grace()), parkDownloads()]);
      });
      registry.startSweeper();
      maintenance.start();
      downloads.start();
      uploads.start();
      return { url: port.address.url };
    },
    ready: registry.ready,

    async stop(graceMs) {
      stopBy = performance.now() + graceMs;
      health.shutDown();
      shutdown.abort();
      await running.disposeAsync();
    },
  };
}

/** The store in a folder or in a bucket; what S3 takes is loaded for the latter alone. */
async function openStore({ store, data }: Config, log: Logger, opened: AsyncDisposableStack): Promise<BlobStore> {
  if ("folder" in store) {
    const { folder } = store;
    const variable = folder === join(data, "store") ? "MODEL_MANAGER_DATA" : "MODEL_MANAGER_STORE";
    return await openNamedPath(variable, folder, () => createDiskStore({ directory: folder, log }));
  }
  const { spool: spoolDirectory, ...location } = store;
  const { createS3Store } = await import("./store/s3/s3-store.ts");
  const uri = `s3://${location.bucket}/${location.prefix}`;
  const inBucket = await openNamedPath("MODEL_MANAGER_STORE", uri, () =>
    createS3Store({ ...location, spoolDirectory, log }),
  );
  opened.defer(() => inBucket.close());
  void inBucket.abortAbandoned();
  return inBucket;
}

/** The external database of the configuration, or our own. */
async function openDatabase(
  { databaseUrl, databaseDirectUrl, data }: Config,
  log: Logger,
  opened: AsyncDisposableStack,
) {
  if (databaseUrl !== undefined)
    return {
      connection: databaseUrl,
      directConnection: databaseDirectUrl ?? databaseUrl,
      exclusive: false,
    };
  const postgres = await openNamedPath("MODEL_MANAGER_DATA", data, () =>
    superviseEmbeddedPostgres({ directory: join(data, "postgres"), log }),
  );
  opened.defer(() => postgres.stop());
  return { connection: postgres.connection, exclusive: true };
}

/** The build copies the migrations beside the bundle. */
function migrationsFolder(): string {
  const relative = import.meta.url.endsWith(".ts") ? "./registry/migrations" : "./migrations";
  return fileURLToPath(new URL(relative, import.meta.url));
}
