import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { expect } from "vitest";
import type { Digest } from "../../src/domain/digest.ts";
import type { Progress } from "../../src/domain/download.ts";
import type { Logger } from "../../src/domain/logger.ts";
import type { NewModel, VersionFile } from "../../src/domain/model.ts";
import type { Order } from "../../src/domain/page.ts";
import type { ClaimedDownload, Lease } from "../../src/domain/ports/download-jobs.ts";
import { createRegistry, type Registry, type RegistryOptions } from "../../src/registry/registry.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

export const MIGRATIONS = fileURLToPath(new URL("../../src/registry/migrations", import.meta.url));

export const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };

/** A registry on a database of its own, and a way to look behind it. */
export interface TestRegistry extends Registry {
  readonly database: TestDatabase;
  readonly sql: postgres.Sql;
  /** Another process that shares the database. */
  another(): Promise<Registry>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function openRegistry({
  workerLeaseMs = 30_000,
  feed,
}: Partial<Pick<RegistryOptions, "workerLeaseMs" | "feed">> = {}): Promise<TestRegistry> {
  const database = await createTestDatabase();
  const options = { connection: database.connection, migrationsFolder: MIGRATIONS, log: quiet, workerLeaseMs, feed };
  const registries: Registry[] = [];
  const open = async () => {
    const registry = await createRegistry(options);
    registries.push(registry);
    return registry;
  };
  const registry = await open();
  const sql = postgres({ ...database.connection, max: 2, onnotice: () => {} });
  return {
    ...registry,
    database,
    sql,
    another: open,
    async [Symbol.asyncDispose]() {
      await Promise.all([...registries.map((each) => each.close()), sql.end()]);
      await database.drop();
    },
  };
}

export const byId: Order<"id"> = { field: "id", descending: false };

export function newModel(id: string, rest: Partial<NewModel> = {}): NewModel {
  return {
    id,
    type: "LLM",
    displayName: "",
    description: "",
    labels: {},
    baseModelId: "",
    source: { kind: "local", path: "/models/a" },
    ...rest,
  };
}

export function digest(character: string): Digest {
  return `sha256:${character.repeat(64)}`;
}

export function progress(downloadId: string, rest: Partial<Progress> = {}): Progress {
  return {
    downloadId,
    state: "TRANSFERRING",
    completedBytes: 0,
    sourceBytes: 0,
    peerBytes: 0,
    reusedBytes: 0,
    completedFiles: 0,
    bytesPerSecond: 0,
    attempt: 1,
    resolvedRevision: "",
    updateTime: new Date(),
    files: [],
    ...rest,
  };
}

/** Starts and claims a download of a model. */
export async function startAndClaim(
  { jobs }: Pick<Registry, "jobs">,
  modelId: string,
  revision = "",
): Promise<ClaimedDownload> {
  const request = { modelId, revision, allowPatterns: [], ignorePatterns: [], priority: 0 };
  const { download } = await jobs.start(request);
  for (const claimed of await jobs.claim("test", 1000, 60_000)) {
    if (claimed.download.id === download.id) return claimed;
  }
  throw new Error("the download was not claimed");
}

/** Brings a claimed download to the point where it can be published. */
export async function advanceToVerifying({ jobs }: Pick<Registry, "jobs">, lease: Lease): Promise<void> {
  for (const state of ["RESOLVING", "TRANSFERRING", "VERIFYING"] as const) await jobs.advance(lease, state);
}

/** Publishes a version of some files, whose bytes are taken as placed. */
export async function publishVersion(registry: Pick<Registry, "jobs">, modelId: string, files: readonly VersionFile[]) {
  const { lease } = await startAndClaim(registry, modelId);
  await advanceToVerifying(registry, lease);
  const sizes = new Map(files.map(({ digest, size }) => [digest, size]));
  for (const [digest, size] of sizes) await registry.jobs.admit(lease, digest, size, async () => {});
  return await registry.jobs.publish(lease, {
    resolvedRevision: "main",
    license: "mit",
    metadata: {},
    files,
    progress: progress(lease.downloadId),
  });
}

export interface EventRow {
  readonly sequence: number;
  readonly kind: string;
  readonly noun: string;
  readonly resource: Record<string, unknown>;
}

/** The events after a sequence, in their order. */
export async function eventsAfter(sql: postgres.Sql, sequence: number): Promise<EventRow[]> {
  const rows = await sql<EventRow[]>`
    select sequence::integer, kind, noun, resource from events where sequence > ${sequence} order by sequence`;
  return [...rows];
}

/** Resolves when so many statements of the database wait for a lock. */
export async function untilWaiting(sql: postgres.Sql, count: number): Promise<void> {
  const waiting = () => sql`
    select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  await expect.poll(async () => (await waiting()).length, { interval: 10, timeout: 3000 }).toBe(count);
}

/** The sequence of the newest event. */
export async function sequenceOf(sql: postgres.Sql): Promise<number> {
  const [row] = await sql<{ sequence: number }[]>`select sequence::integer from event_counter`;
  return row?.sequence ?? -1;
}
