import type { Alias } from "../domain/model.ts";
import { assertAlias } from "../domain/names.ts";
import { aliasNotFound, isAlias } from "./alias-rows.ts";
import { changeModel } from "./change-model.ts";
import type { Database } from "./database.ts";
import { lockModel } from "./model-rows.ts";
import { clock } from "./rows.ts";
import { aliases } from "./schema/models.ts";
import { lockVersion } from "./version-rows.ts";

/** See `Models.setAlias`. */
export async function setAlias(database: Database, modelId: string, alias: string, version: number): Promise<Alias> {
  assertAlias("alias", alias);
  return await database.transact(async (tx, changes) => {
    const model = await lockModel(tx, modelId);
    await lockVersion(tx, model.id, version);
    const [former] = await tx.select().from(aliases).where(isAlias(model.id, alias));
    if (former?.version === version) return former;
    const [set] =
      former === undefined
        ? await tx.insert(aliases).values({ modelId: model.id, alias, version }).returning()
        : await tx.update(aliases).set({ version, updateTime: clock }).where(isAlias(model.id, alias)).returning();
    if (set === undefined) throw aliasNotFound(model.id, alias);
    changes.add(former === undefined ? "CREATED" : "UPDATED", "alias", set);
    await changeModel(tx, changes, model);
    return set;
  });
}

/** See `Models.deleteAlias`. */
export async function deleteAlias(database: Database, modelId: string, alias: string): Promise<void> {
  await database.transact(async (tx, changes) => {
    const model = await lockModel(tx, modelId);
    const [deleted] = await tx.delete(aliases).where(isAlias(model.id, alias)).returning();
    if (deleted === undefined) throw aliasNotFound(model.id, alias);
    changes.add("DELETED", "alias", deleted);
    await changeModel(tx, changes, model);
  });
}
