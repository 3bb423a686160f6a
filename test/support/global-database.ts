import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import { join, resolve } from "node:path";
import type { TestProject } from "vitest/node";
import type { Logger } from "../../src/domain/logger.ts";
import {
  type EmbeddedConnection,
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from "../../src/registry/embedded/server.ts";
import { createRegistry } from "../../src/registry/registry.ts";

const MIGRATIONS = resolve(import.meta.dirname, "../../src/registry/migrations");

declare module "vitest" {
  interface ProvidedContext {
    database: EmbeddedConnection;
    /** The folder of a database that a service made and nobody used. */
    freshDatabase: string;
  }
}

/** Warnings and errors of the server are seen in the run's output; what tests provoke in it is not. */
const log: Logger = {
  debug() {},
  info() {},
  warn: print,
  error: print,
  child: () => log,
};

function print(message: string, fields?: Record<string, unknown>): void {
  process.stderr.write(`${message} ${JSON.stringify(fields ?? {})}\n`);
}

let directory: string | undefined;
let server: EmbeddedPostgres | undefined;

/** Makes what a service's first start makes of its database. */
async function makeFreshDatabase(folder: string): Promise<void> {
  const made = await startEmbeddedPostgres({ directory: folder, log });
  const { connection } = made;
  const registry = await createRegistry({ connection, migrationsFolder: MIGRATIONS, workerLeaseMs: 30_000, log });
  await registry.ready;
  await registry.close();
  await made.stop();
}

/** Starts the one PostgreSQL server of a test run and tells every test file where it is. */
export async function setup(project: TestProject): Promise<void> {
  directory = await mkdtemp(join(os.tmpdir(), "model-manager-test-"));
  const fresh = join(directory, "fresh");
  await makeFreshDatabase(fresh);
  project.provide("freshDatabase", fresh);
  server = await startEmbeddedPostgres({
    directory: join(directory, "postgres"),
    log,
    // The data lives no longer than the run, so nothing need survive a crash of the machine.
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off", max_connections: "100" },
  });
  project.provide("database", server.connection);
}

/** Stops the server and removes its data. */
export async function teardown(): Promise<void> {
  await server?.stop();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
}
