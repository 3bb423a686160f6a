import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openNamedPath } from "./config/named-path.ts";
import { readTlsFiles } from "./config/tls-files.ts";
import type { Config } from "./config.ts";
import type { Logger } from "./domain/logger.ts";
import { createDownloads } from "./download/downloads.ts";
import { addServices } from "./handlers/routes.ts";
import { packageVersion } from "./lib/package-version.ts";
import { superviseEmbeddedPostgres } from "./registry/embedded/supervisor.ts";
import { createRegistry } from "./registry/registry.ts";
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
  const storeVariable = config.store === join(config.data, "store") ? "MODEL_MANAGER_DATA" : "MODEL_MANAGER_STORE";
  const store = await openNamedPath(storeVariable, config.store, () =>
    createDiskStore({ directory: config.store, log: log.child({ room: "store" }) }),
  );
  const database = await openDatabase(config, log.child({ room: "database" }), opened);
  const registry = await createRegistry({
    ...database,
    migrationsFolder: migrationsFolder(),
    workerLeaseMs: config.workerLeaseMs,
    log: log.child({ room: "registry" }),
  });
  opened.defer(() => registry.close());
  const { models, workers } = registry;

  const credentials = createCredentialsFile({ path: config.credentials, log });
  const sources = createSources({
    allowNetworks: config.allowNetworks,
    localRoots: config.localRoots,
    hfEndpoint: config.huggingFace.endpoint,
    hfToken: config.huggingFace.token,
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
  const downloads = await createDownloads({
    jobs: registry.jobs,
    models,
    store,
    sources,
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
    routes: (router) => addServices(router, { models, workers, storage, credentials, downloads: downloads.downloads }),
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
