import { and, asc, eq, lte, sql } from "drizzle-orm";
import { v7 as uuidv7 } from "uuid";
import type { Logger } from "../domain/logger.ts";
import { forgetAnswers } from "./create-model.ts";
import type { Database, Transaction } from "./database.ts";
import type { Changes } from "./events.ts";
import { pruneEvents } from "./feed/retention.ts";
import { clock, textArray } from "./rows.ts";
import { workerPresence } from "./schema/workers.ts";
import { takeTurn } from "./singleton.ts";
import { setStatus } from "./worker-rows.ts";

const INTERVAL_MS = 400;

/** After this long without a sweep another process takes over. */
const TURN_LEASE_MS = 1500;

/** A pause longer than this was ours, and no worker is to pay for it. */
const LONGEST_PAUSE_MS = 2000;

const CLEANING_INTERVAL_MS = 600_000;

/**
 * Declares workers OFFLINE whose lease ran out, within a second. Of all processes that share a database one does it. When
 * sweeps paused (all processes were down, or the database stood still) every lease is first prolonged by the pause.
 */
export class Sweeper {
  readonly #database: Database;
  readonly #log: Logger;
  readonly #owner = uuidv7();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #cleanAt = 0;
  #failing = false;

  constructor(database: Database, log: Logger) {
    this.#database = database;
    this.#log = log;
  }

  /** Sweeps every 400 ms from now on. */
  start(): void {
    this.#timer ??= setTimeout(() => {
      this.#running = this.#turn().finally(() => {
        if (this.#timer === undefined) return;
        this.#timer = undefined;
        this.start();
      });
    }, INTERVAL_MS);
  }

  /** Resolves when the last sweep has ended. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  /** One sweep; answers the workers that went OFFLINE by it. */
  async sweep(): Promise<readonly string[]> {
    return await this.#database.transact(async (tx, changes) => {
      // Most sweeps note their time and nothing else, which need not wait for the disk.
      await tx.execute(sql`set local synchronous_commit = off`);
      const turn = await takeTurn(tx, "sweep", this.#owner, TURN_LEASE_MS);
      if (turn === undefined) return [];
      if (turn.sinceLastMs <= LONGEST_PAUSE_MS) return await expireLeases(tx, changes);
      const workers = await prolongLeases(tx, turn.sinceLastMs);
      if (workers > 0) {
        const fields = { workers, pause_ms: turn.sinceLastMs };
        this.#log.info("leases of workers were prolonged by a pause of the service", fields);
      }
      return [];
    });
  }

  async #turn(): Promise<void> {
    try {
      for (const workerId of await this.sweep()) {
        this.#log.warn("a worker went offline: its lease ran out", { worker_id: workerId });
      }
      if (performance.now() >= this.#cleanAt) {
        this.#cleanAt = performance.now() + CLEANING_INTERVAL_MS;
        await forgetAnswers(this.#database);
        await pruneEvents(this.#database, this.#owner);
      }
      if (this.#failing) this.#log.info("leases of workers are swept again");
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#log.warn("leases of workers cannot be swept", { error });
      this.#failing = true;
    }
  }
}

/** Answers how many leases there were to prolong. */
async function prolongLeases(tx: Transaction, pauseMs: number): Promise<number> {
  // Locked in the order of their ids, as heartbeats do it.
  const { count } = await tx.execute(sql`
    with held as (
      select worker_id from worker_presence where not expired order by worker_id for update
    )
    update worker_presence presence
    set lease_expire_time = lease_expire_time + ${pauseMs}::double precision * interval '1 millisecond'
    from held
    where presence.worker_id = held.worker_id`);
  return count;
}

async function expireLeases(tx: Transaction, changes: Changes): Promise<readonly string[]> {
  const due = await tx
    .select({ id: workerPresence.workerId })
    .from(workerPresence)
    .where(and(eq(workerPresence.expired, false), lte(workerPresence.leaseExpireTime, clock)))
    .orderBy(asc(workerPresence.workerId))
    // One that is locked is just being heard of.
    .for("update", { skipLocked: true });
  if (due.length === 0) return [];
  await tx.execute(sql`set local synchronous_commit to default`);
  const ids = due.map(({ id }) => id);
  await tx
    .update(workerPresence)
    .set({ expired: true })
    .where(sql`${workerPresence.workerId} = any(${textArray(ids)})`);
  for (const worker of await setStatus(tx, ids, "OFFLINE")) changes.add("UPDATED", "worker", worker);
  return ids;
}
