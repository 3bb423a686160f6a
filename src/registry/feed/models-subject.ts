import { eq, getTableColumns, inArray, type SQL } from "drizzle-orm";
import { MODEL_FILTER_FIELDS } from "../../domain/parse-filter.ts";
import type { Named } from "../../domain/ports/feeds.ts";
import type { Transaction } from "../database.ts";
import { downloadFields, toDownload } from "../download-rows.ts";
import { modelFields, toModel } from "../model-rows.ts";
import { MODEL_FILTER_COLUMNS } from "../models.ts";
import { downloads } from "../schema/downloads.ts";
import { aliases, models, versions } from "../schema/models.ts";
import { toVersion } from "../version-rows.ts";
import type { Subject } from "./subject.ts";

/** Models with their versions, aliases and downloads. */
export const modelsSubject: Subject = {
  root: "model",
  parts: ["version", "alias", "download"],
  filterFields: MODEL_FILTER_FIELDS,
  filterColumns: MODEL_FILTER_COLUMNS,
  rootOf(change) {
    switch (change.noun) {
      case "model":
        return change.resource.id;
      case "version":
      case "alias":
      case "download":
        return change.resource.modelId;
      default:
        return undefined;
    }
  },
  isRoot: (id) => eq(models.id, id),
  async readRootIds(tx, matches) {
    return (await tx.select({ id: models.id }).from(models).where(matches)).map(({ id }) => id);
  },
  async readRoots(tx, matches) {
    const rows = await tx.select(modelFields).from(models).where(matches).orderBy(models.id);
    return rows.map((row): Named => ({ noun: "model", resource: toModel(row) }));
  },
  readParts,
};

async function readParts(tx: Transaction, matches: SQL | undefined): Promise<readonly Named[]> {
  const roots = tx.select({ id: models.id }).from(models).where(matches);
  const versionRows = await tx
    .select(getTableColumns(versions))
    .from(versions)
    .where(inArray(versions.modelId, roots))
    .orderBy(versions.modelId, versions.version);
  const aliasRows = await tx
    .select()
    .from(aliases)
    .where(inArray(aliases.modelId, roots))
    .orderBy(aliases.modelId, aliases.alias);
  const downloadRows = await tx
    .select(downloadFields)
    .from(downloads)
    .where(inArray(downloads.modelId, roots))
    .orderBy(downloads.id);
  return [
    ...versionRows.map((row): Named => ({ noun: "version", resource: toVersion(row) })),
    ...aliasRows.map((resource): Named => ({ noun: "alias", resource })),
    ...downloadRows.map((row): Named => ({ noun: "download", resource: toDownload(row, row.kept) })),
  ];
}
