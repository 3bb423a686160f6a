import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import postgres from "postgres";
import { afterEach, beforeEach, expect, inject, it, vi } from "vitest";
import type { Logger } from "../../src/domain/logger.ts";
import { loadPostgresBinaries } from "../../src/registry/embedded/binaries.ts";
import {
  type EmbeddedConnection,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from "../../src/registry/embedded/server.ts";
import { socketDirectoryOf } from "../../src/registry/embedded/socket-directory.ts";
import {
  type PostgresSupervisor,
  type SupervisorState,
  superviseEmbeddedPostgres,
} from "../../src/registry/embedded/supervisor.ts";
import { createTestDatabase } from "../support/database.ts";

const SERVER_MODULE = new URL("../../src/registry/embedded/server.ts", import.meta.url).href;
const isRoot = process.getuid?.() === 0;
const { postgres: postgresProgram } = await loadPostgresBinaries();

let base: string;
let directory: string;
let lines: { level: string; message: string; fields?: Record<string, unknown> }[];
const stops: (() => Promise<unknown>)[] = [];
const children: ChildProcess[] = [];

const log: Logger = {
  debug: (message, fields) => void lines.push({ level: "debug", message, fields }),
  info: (message, fields) => void lines.push({ level: "info", message, fields }),
  warn: (message, fields) => void lines.push({ level: "warn", message, fields }),
  error: (message, fields) => void lines.push({ level: "error", message, fields }),
  child: () => log,
};

beforeEach(async () => {
  base = await realpath(await mkdtemp(join(os.tmpdir(), "mm-pg-")));
  directory = join(base, "postgres");
  lines = [];
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(stops.splice(0).map((stop) => stop()));
  for (const child of children.splice(0))
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  await rm(base, { recursive: true, force: true, maxRetries: 5 });
});

async function start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ directory, log, ...options });
  stops.push(() => server.stop());
  return server;
}

async function query<T>(connection: EmbeddedConnection, run: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres({ ...connection, max: 1, onnotice: () => {} });
  try {
    return await run(sql);
  } finally {
    await sql.end();
  }
}

const write = (connection: EmbeddedConnection, word: string) =>
  query(connection, async (sql) => {
    await sql`create table if not exists words (word text)`;
    await sql`insert into words values (${word})`;
  });
const read = (connection: EmbeddedConnection) =>
  query(connection, async (sql) =>
    (await sql<{ word: string }[]>`select word from words order by 1`).map((row) => row.word),
  );

/** Starts a server in a node process of its own, which then waits to be killed. */
async function startInChild(): Promise<{ child: ChildProcess; pid: number; connection: EmbeddedConnection }> {
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(SERVER_MODULE)};
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
    const { pid, connection } = await startEmbeddedPostgres({ directory: process.argv[1], log });
    console.log(JSON.stringify({ pid, connection }));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const server = JSON.parse(line) as { pid: number; connection: EmbeddedConnection };
  stops.push(async () => isAlive(server.pid) && process.kill(server.pid, "SIGQUIT"));
  return { child, ...server };
}

async function killHard(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** Whether a process runs; one that has ended but was not waited for by its new parent yet does not. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== "linux" || !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Leaves a process nothing but the programs that every system has. */
async function withoutTools(...tools: string[]): Promise<void> {
  const bin = join(base, "bin");
  await mkdir(bin, { mode: 0o755 });
  for (const tool of ["sh", "id", "true", ...tools]) {
    const path = spawnSync("sh", ["-c", `command -v ${tool}`], { encoding: "utf8" }).stdout.trim();
    await symlink(path.startsWith("/") ? path : `/bin/${tool}`, join(bin, tool));
  }
  vi.stubEnv("PATH", bin);
}

it("keeps its data over a stop and a start, on a durable server that only its socket reaches", async () => {
  const first = await start();
  await write(first.connection, "kept");
  const settings = await query(
    first.connection,
    (sql) => sql`
      select current_setting('fsync') as fsync, current_setting('listen_addresses') as addresses,
        current_setting('server_encoding') as encoding, current_setting('data_checksums') as checksums,
        (select datcollate from pg_database where datname = current_database()) as collation`,
  );
  expect(settings[0]).toEqual({ fsync: "on", addresses: "", encoding: "UTF8", checksums: "on", collation: "C" });
  expect((await stat(first.connection.host)).mode & 0o777).toBe(0o700);
  await first.stop();
  expect(await first.exited).toEqual({ code: 0, signal: null });
  expect(isAlive(first.pid)).toBe(false);

  const second = await start();
  expect(await read(second.connection)).toEqual(["kept"]);
  expect(lines.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
});

it("stops in good order while clients are connected", async () => {
  const server = await start();
  const sql = postgres({ ...server.connection, max: 1, onclose: () => {} });
  const sleeping = sql`select pg_sleep(60)`.catch((error: { code: string }) => error.code);
  await query(server.connection, async (other) => {
    for (let busy = 0; busy === 0; ) {
      [{ busy } = { busy: 0 }] = await other<{ busy: number }[]>`
        select count(*)::int as busy from pg_stat_activity where wait_event = 'PgSleep'`;
    }
  });
  await server.stop();
  expect(await server.exited).toEqual({ code: 0, signal: null });
  expect(await sleeping).toMatch(/57P01|CONNECTION_CLOSED/);
  expect(lines.filter(({ level }) => level === "error")).toEqual([]);
  await sql.end({ timeout: 0 });
});

it("refuses a folder that another process serves, and leaves that one alone", async () => {
  const { connection } = await startInChild();
  await expect(start()).rejects.toMatchObject({
    reason: "RESOURCE_IN_USE",
    message: expect.stringContaining("another process serves this data folder"),
  });
  await write(connection, "undisturbed");
  expect(await read(connection)).toEqual(["undisturbed"]);
});

it("lets one of many that start at once on a new folder have it", async () => {
  const results = await Promise.allSettled(Array.from({ length: 4 }, () => start()));
  const refused = results.filter((result) => result.status === "rejected");
  expect(refused.map(({ reason }) => reason.reason)).toEqual(Array(3).fill("RESOURCE_IN_USE"));
  const winner = results.find((result) => result.status === "fulfilled")?.value;
  if (winner === undefined) throw new Error("nobody got the folder");
  await write(winner.connection, "won");
  expect((await readdir(directory)).sort()).toEqual(["cluster", "lock", "run"]);
});

it.runIf(process.platform === "linux")("ends with its killed parent and frees the folder at once", async () => {
  const { child, pid, connection } = await startInChild();
  await write(connection, "committed");
  await killHard(child);
  const server = await start();
  expect(isAlive(pid)).toBe(false);
  expect(await read(server.connection)).toEqual(["committed"]);
});

it("serves from folders with any characters in their names", async () => {
  directory = join(base, `a b, "c" 'd' %e ü`);
  const server = await start();
  await write(server.connection, "here");
  expect(server.connection.path.startsWith(directory)).toBe(true);
  expect(await read(server.connection)).toEqual(["here"]);
});

it("puts the socket into a private folder if the data folder's path is too long for it", async () => {
  directory = join(base, "long".repeat(30), "path".repeat(30));
  const server = await start();
  const { host } = server.connection;
  expect(host.startsWith(directory)).toBe(false);
  const made = await stat(host);
  expect([made.mode & 0o777, made.uid]).toEqual([0o700, process.getuid?.()]);
  await write(server.connection, "far");
  await server.stop();
  await expect(stat(host)).rejects.toMatchObject({ code: "ENOENT" });
});

it("trusts no socket folder that others can enter", async () => {
  directory = join(base, "long".repeat(30));
  await mkdir(directory);
  const taken = socketDirectoryOf(directory);
  await mkdir(taken);
  await chmod(taken, 0o777);
  try {
    await expect(start()).rejects.toMatchObject({ reason: "DATABASE_UNAVAILABLE", message: /private/ });
  } finally {
    await rm(taken, { recursive: true });
  }
});

it("refuses a cluster of another major version and does not touch it", async () => {
  await mkdir(join(directory, "cluster"), { recursive: true });
  await writeFile(join(directory, "cluster", "PG_VERSION"), "15\n");
  await expect(start()).rejects.toMatchObject({
    reason: "DATABASE_UNAVAILABLE",
    message: expect.stringMatching(/made by PostgreSQL 15.*brings PostgreSQL 18/),
  });
  expect(await readdir(join(directory, "cluster"))).toEqual(["PG_VERSION"]);
});

it("refuses a cluster folder with other content", async () => {
  await mkdir(join(directory, "cluster"), { recursive: true });
  await writeFile(join(directory, "cluster", "notes.txt"), "mine");
  await expect(start()).rejects.toMatchObject({ reason: "DATABASE_UNAVAILABLE" });
  expect(await readFile(join(directory, "cluster", "notes.txt"), "utf8")).toBe("mine");
});

it("removes what a killed initdb left", async () => {
  const left = join(directory, "initdb-0f0e", "base");
  await mkdir(left, { recursive: true });
  await writeFile(join(left, "1"), "half");
  await start();
  expect((await readdir(directory)).sort()).toEqual(["cluster", "lock", "run"]);
});

it("starts over a postmaster.pid that names a living process of another kind", async () => {
  const first = await start();
  await write(first.connection, "before");
  await first.stop();
  const cluster = join(directory, "cluster");
  const stale = [process.ppid, cluster, 1, 5432, first.connection.host, "", " 1 1", "ready   ", ""].join("\n");
  await writeFile(join(cluster, "postmaster.pid"), stale);
  await writeFile(`${first.connection.path}.lock`, stale);
  const second = await start();
  expect(await read(second.connection)).toEqual(["before"]);
});

it("says why a server does not start", async () => {
  await expect(start({ settings: { shared_buffers: "nonsense" } })).rejects.toMatchObject({
    reason: "DATABASE_UNAVAILABLE",
    cause: { message: expect.stringContaining("shared_buffers") },
  });
  expect(lines.some(({ level, fields }) => level === "error" && fields?.severity === "FATAL")).toBe(true);
  await start();
});

it("leaves nothing behind when the start is given up", async () => {
  const giveUp = new AbortController();
  const watching: Logger = { ...log, info: () => giveUp.abort(new Error("enough")), child: () => watching };
  await expect(start({ log: watching, signal: giveUp.signal })).rejects.toThrow("enough");
  expect((await readdir(directory)).sort()).toEqual(["lock", "run"]);
  const server = await start();
  await write(server.connection, "after");
});

it("has a clear word for platforms without an embedded server", async () => {
  await expect(loadPostgresBinaries("sunos-x64")).rejects.toMatchObject({
    reason: "DATABASE_UNAVAILABLE",
    message: expect.stringContaining("DATABASE_URL"),
  });
});

it("comes back on the same socket after its server was killed", async () => {
  const states: SupervisorState[] = [];
  const { promise: back, resolve: isBack } = Promise.withResolvers<void>();
  const supervisor: PostgresSupervisor = await superviseEmbeddedPostgres({
    directory,
    log,
    onStateChange(state) {
      states.push(state);
      if (state === "running") isBack();
    },
  });
  stops.push(() => supervisor.stop());
  const { connection, pid } = supervisor;
  await write(connection, "survives");
  if (pid === undefined) throw new Error("no server");
  process.kill(pid, "SIGKILL");
  await back;
  expect(supervisor.pid).not.toBe(pid);
  expect(await read(connection)).toEqual(["survives"]);
  await supervisor.stop();
  expect(states).toEqual(["restarting", "running", "stopped"]);
  await expect(query({ ...connection }, (sql) => sql`select 1`)).rejects.toMatchObject({ code: /ENOENT|ECONNREFUSED/ });
});

it("stops while it waits to start a server again", async () => {
  const { promise: down, resolve: isDown } = Promise.withResolvers<void>();
  const supervisor = await superviseEmbeddedPostgres({ directory, log, onStateChange: () => isDown() });
  process.kill(supervisor.pid ?? Number.NaN, "SIGKILL");
  await down;
  await supervisor.stop();
  expect([supervisor.state, supervisor.pid]).toEqual(["stopped", undefined]);
  await start();
});

const nobodyReachesPrograms =
  !isRoot || spawnSync("sh", ["-c", `"${postgresProgram}" -V`], { uid: 65534, gid: 65534, cwd: "/" }).status === 0;

it.runIf(isRoot && nobodyReachesPrograms)(
  "refuses root's private folder where no user namespace can be had",
  async () => {
    await withoutTools("setpriv", "flock");
    await expect(start()).rejects.toMatchObject({
      reason: "DATABASE_UNAVAILABLE",
      message: expect.stringMatching(/as root.*ordinary user.*DATABASE_URL/),
    });
    await chmod(base, 0o755);
    const server = await start();
    await write(server.connection, "dropped");
    expect((await stat(join(directory, "cluster"))).uid).not.toBe(0);
    await server.stop();

    vi.unstubAllEnvs();
    const again = await start();
    expect(await read(again.connection)).toEqual(["dropped"]);
  },
);

it.runIf(nobodyReachesPrograms)(
  "without tools to lock, stops a server that outlived its service and refuses one in use",
  async () => {
    await chmod(base, 0o755);
    await withoutTools();
    const { child, pid, connection } = await startInChild();
    await write(connection, "orphaned");
    await expect(start()).rejects.toMatchObject({ reason: "RESOURCE_IN_USE" });
    await killHard(child);
    expect(isAlive(pid)).toBe(true);

    const server = await start();
    expect(isAlive(pid)).toBe(false);
    expect(await read(server.connection)).toEqual(["orphaned"]);
    expect(lines.some(({ level, message }) => level === "warn" && message.includes("outlived"))).toBe(true);
  },
);

it("gives every test file an empty database of its own", async () => {
  const database = await createTestDatabase();
  expect(
    await query(database.connection, (sql) => sql`select from pg_tables where schemaname = 'public'`),
  ).toHaveLength(0);
  await write(database.connection, "mine");
  await database.drop();
  const { database: name } = database.connection;
  expect(await query(inject("database"), (sql) => sql`select from pg_database where datname = ${name}`)).toHaveLength(
    0,
  );
});
