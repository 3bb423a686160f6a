import { createHash } from "node:crypto";
import { eq, lt, sql } from "drizzle-orm";
import { DomainError, invalidField } from "../domain/errors.ts";
import type { Model, NewModel } from "../domain/model.ts";
import { canonicalJson } from "../lib/canonical-json.ts";
import type { Database, Transaction } from "./database.ts";
import { isModel, lockModel, readModel } from "./model-rows.ts";
import { createRequests, models } from "./schema/models.ts";

/** Carries the answer out of a transaction that is undone on purpose. */
class Validated extends Error {
  readonly model: Model;

  constructor(model: Model) {
    super("validated only");
    this.model = model;
  }
}

/** See `Models.create`. */
export async function createModel(
  database: Database,
  model: NewModel,
  { requestId = "", validateOnly = false }: { requestId?: string; validateOnly?: boolean },
): Promise<Model> {
  try {
    return await database.transact(async (tx, changes) => {
      const earlier = requestId === "" ? undefined : await earlierAnswer(tx, requestId, model);
      if (earlier !== undefined) return earlier;
      const created = await insertModel(tx, model);
      // The same checks as for the real thing, since it is the real thing up to here.
      if (validateOnly) throw new Validated(created);
      changes.add("CREATED", "model", created);
      if (requestId !== "") await keepAnswer(tx, requestId, created);
      return created;
    });
  } catch (error) {
    if (error instanceof Validated) return error.model;
    throw error;
  }
}

async function insertModel(tx: Transaction, model: NewModel): Promise<Model> {
  const base = model.baseModelId === "" ? undefined : await lockModel(tx, model.baseModelId, "share");
  const inserted = await tx
    .insert(models)
    .values({ ...model, baseModelId: base?.id ?? "", status: "REGISTERED" })
    .onConflictDoNothing()
    .returning({ id: models.id });
  if (inserted.length > 0) return await readModel(tx, model.id);
  const [{ id } = model] = await tx.select({ id: models.id }).from(models).where(isModel(model.id));
  throw new DomainError("MODEL_EXISTS", `there is a model '${id}' already`, { metadata: { model_id: id } });
}

/**
 * Takes a request id for this transaction, waiting for another one that has it, or finds what it was answered with.
 * FIELD_INVALID if that was for another model.
 */
async function earlierAnswer(tx: Transaction, requestId: string, model: NewModel): Promise<Model | undefined> {
  const requestHash = createHash("sha256").update(canonicalJson(model)).digest("hex");
  const taken = await tx
    .insert(createRequests)
    .values({ requestId, requestHash })
    .onConflictDoUpdate({
      target: createRequests.requestId,
      set: { requestHash, answer: null, createTime: sql`now()` },
      setWhere: isForgotten,
    })
    .returning({ requestId: createRequests.requestId });
  if (taken.length > 0) return undefined;
  const [earlier] = await tx.select().from(createRequests).where(eq(createRequests.requestId, requestId));
  if (earlier?.answer == null || earlier.requestHash !== requestHash) {
    throw invalidField("request_id", "was used for another request within the last day");
  }
  const { createTime, updateTime, ...rest } = earlier.answer as unknown as Model;
  return { ...rest, createTime: new Date(createTime), updateTime: new Date(updateTime) };
}

const isForgotten = lt(createRequests.createTime, sql`now() - interval '1 day'`);

async function keepAnswer(tx: Transaction, requestId: string, model: Model): Promise<void> {
  await tx
    .update(createRequests)
    .set({ answer: { ...model } })
    .where(eq(createRequests.requestId, requestId));
}

/** Removes the answers that are older than a day. */
export async function forgetAnswers(database: Database): Promise<void> {
  await database.read((db) => db.delete(createRequests).where(isForgotten));
}
