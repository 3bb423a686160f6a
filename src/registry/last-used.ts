import { and, eq, sql } from "drizzle-orm";
import type { Logger } from "../domain/logger.ts";
import type { Version } from "../domain/model.ts";
import type { Database, Transaction } from "./database.ts";
import { clock } from "./rows.ts";
import { versions } from "./schema/models.ts";

const EXACTNESS_MS = 3_600_000;

const isDue = sql`${versions.lastUsedTime} <= clock_timestamp() - ${EXACTNESS_MS} * interval '1 millisecond'`;

function isVersion(modelId: string, version: number) {
  return and(eq(versions.modelId, modelId), eq(versions.version, version));
}

/** Notes within a transaction that a version is used. */
export async function noteUse(tx: Transaction, modelId: string, version: number): Promise<void> {
  await tx.update(versions).set({ lastUsedTime: clock }).where(isVersion(modelId, version));
}

/** Notes that versions are read: in the background, and once an hour at most, so that reading stays reading. */
export class ReadNotes {
  readonly #database: Database;
  readonly #log: Logger;
  readonly #underWay = new Set<string>();

  constructor(database: Database, log: Logger) {
    this.#database = database;
    this.#log = log;
  }

  /** A version was read, as it is. */
  note({ modelId, version, lastUsedTime }: Version): void {
    const key = `${modelId}@${version}`;
    if (Date.now() - lastUsedTime.getTime() < EXACTNESS_MS || this.#underWay.has(key)) return;
    this.#underWay.add(key);
    this.#database
      .read((db) =>
        db
          .update(versions)
          .set({ lastUsedTime: clock })
          .where(and(isVersion(modelId, version), isDue)),
      )
      .catch((error: unknown) => this.#log.debug("the use of a version could not be noted", { error }))
      .finally(() => this.#underWay.delete(key));
  }
}
