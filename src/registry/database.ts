import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "drizzle-orm";
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import type { Logger } from "../domain/logger.ts";
import { Semaphore } from "../lib/semaphore.ts";
import { toDriverTarget } from "./connection-url.ts";
import { databaseUnavailable, isRetriable, translateDatabaseError } from "./database-errors.ts";
import { Changes } from "./events.ts";
import { fencingTransactions } from "./fenced-client.ts";
import { EVENTS_CHANNEL, Notifier } from "./notifier.ts";
import { preparingTransactions } from "./prepared-client.ts";

/** Where a database is: a `postgres://` URL in any of libpq's forms, or the parts of one; `path` is a unix socket. */
export type ConnectionTarget =
  | string
  | {
      readonly path?: string;
      readonly host?: string;
      readonly port?: number;
      readonly user?: string;
      readonly password?: string;
      readonly database?: string;
    };

/** What runs queries: the pool, or a transaction on one of its connections. */
export type Executor = Pick<PostgresJsDatabase, "select" | "$count">;

/** A running transaction. */
export type Transaction = Parameters<Parameters<PostgresJsDatabase["transaction"]>[0]>[0];

export interface DatabaseOptions {
  readonly connection: ConnectionTarget;
  readonly log: Logger;
  /** The most connections at once; default 10. They are closed when idle for a minute. */
  readonly maxConnections?: number;
  /** How long a statement may run, in milliseconds; default 4000. A call as a whole may take a second more. */
  readonly statementTimeoutMs?: number;
}

/** Opens a client of postgres.js with what all of ours have in common. */
export function connect(target: ConnectionTarget, options: postgres.Options<Record<string, never>>): postgres.Sql {
  const all: postgres.Options<Record<string, never>> = {
    connect_timeout: 3,
    // A database that is back is to be found at once.
    backoff: () => 0.1,
    fetch_types: false,
    onnotice: () => {},
    ...options,
  };
  if (typeof target !== "string") return postgres({ ...target, ...all });
  const { url, ...parts } = toDriverTarget(target);
  return postgres(url, { ...all, ...parts });
}

const ATTEMPTS = 5;

/**
 * The pool of connections, and the only way to it: each call ends within seconds, and its errors are translated.
 * Calls are refused as DATABASE_UNAVAILABLE until {@link Database.open} is called.
 */
export class Database {
  readonly #client: postgres.Sql;
  readonly #notifier: Notifier;
  readonly #deadlineMs: number;
  /** Keeps half of the connections free of transactions that wait for other things than the database. */
  readonly #unbounded: Semaphore;
  #opened = false;
  /** For building queries, which run inside of {@link Database.read}. */
  readonly queries: PostgresJsDatabase;
  readonly #writes: PostgresJsDatabase;

  constructor({ connection, log, maxConnections = 10, statementTimeoutMs = 4000 }: DatabaseOptions) {
    this.#client = fencingTransactions(
      connect(connection, {
        max: maxConnections,
        idle_timeout: 60,
        connection: {
          application_name: "model-manager",
          statement_timeout: statementTimeoutMs,
          idle_in_transaction_session_timeout: 2 * statementTimeoutMs,
        },
      }),
    );
    this.queries = drizzle(this.#client);
    this.#writes = drizzle(preparingTransactions(this.#client));
    this.#deadlineMs = statementTimeoutMs + 1000;
    this.#unbounded = new Semaphore(Math.max(1, Math.floor(maxConnections / 2)));
    this.#notifier = new Notifier(
      () => this.read((db) => db.execute(sql`select pg_notify(${EVENTS_CHANNEL}, '')`)),
      log,
    );
  }

  /** Lets calls through from now on: the schema is there. */
  open(): void {
    this.#opened = true;
  }

  /** Runs one statement. */
  async read<T>(query: (db: PostgresJsDatabase) => PromiseLike<T>): Promise<T> {
    return await this.#bounded(async () => await query(this.queries));
  }

  /** Runs several reads that all see the database as it was at the first of them. */
  async snapshot<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const config = { isolationLevel: "repeatable read", accessMode: "read only" } as const;
    return await this.#bounded(async (guard) => await this.queries.transaction((tx) => guard(() => work(tx)), config));
  }

  /**
   * Runs a transaction and writes the events of its changes as its last act. It is run again, from its start, if it and
   * another one got in each other's way. With `unbounded` it may wait for things outside of the database as long as it
   * likes, once it is its turn: half of the connections are kept for others.
   */
  async transact<T>(
    work: (tx: Transaction, changes: Changes) => Promise<T>,
    options: { unbounded?: boolean } = {},
  ): Promise<T> {
    const run = async (guard: Guard): Promise<T> => {
      for (let attempt = 1; ; attempt++) {
        const changes = new Changes();
        try {
          const result = await this.#writes.transaction(async (tx) => {
            if (options.unbounded) await tx.execute(sql`set local idle_in_transaction_session_timeout = 0`);
            const result = await guard(() => work(tx, changes));
            await guard(() => changes.write(tx));
            return result;
          });
          if (changes.length > 0) this.#notifier.notify();
          return result;
        } catch (error) {
          if (attempt >= ATTEMPTS || !isRetriable(error)) throw error;
          await sleep(attempt * 10);
        }
      }
    };
    if (!options.unbounded) return await this.#bounded(run);
    const release = await this.#unbounded.acquire();
    try {
      return await this.#bounded(run, options);
    } finally {
      release();
    }
  }

  /** Ends all connections, within five seconds. */
  async close(): Promise<void> {
    await this.#notifier.close();
    await this.#client.end({ timeout: 5 });
  }

  /** Runs a call against the clock; what comes to its turn after that is undone instead. */
  async #bounded<T>(run: (guard: Guard) => Promise<T>, options: { unbounded?: boolean } = {}): Promise<T> {
    if (!this.#opened) throw databaseUnavailable(new Error("the schema is not there yet"));
    let late = false;
    const guard: Guard = async (work) => {
      if (late) throw databaseUnavailable();
      return await work();
    };
    const { promise: deadline, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late = true;
      reject(databaseUnavailable(new Error(`no answer within ${this.#deadlineMs} ms`)));
    }, this.#deadlineMs);
    if (options.unbounded) clearTimeout(timer);
    try {
      return await Promise.race([run(guard), deadline]);
    } catch (error) {
      throw translateDatabaseError(error);
    } finally {
      clearTimeout(timer);
    }
  }
}

type Guard = <T>(work: () => Promise<T>) => Promise<T>;
