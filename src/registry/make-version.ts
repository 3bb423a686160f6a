import { and, eq, sql } from "drizzle-orm";
import { manifestDigest } from "../domain/manifest.ts";
import type { Labels, Version, VersionFile, VersionMetadata } from "../domain/model.ts";
import { changeModel } from "./change-model.ts";
import type { Transaction } from "./database.ts";
import type { Changes } from "./events.ts";
import { noteUse } from "./last-used.ts";
import type { ModelRow } from "./model-rows.ts";
import { recordset } from "./rows.ts";
import { versions } from "./schema/models.ts";
import { readVersion } from "./version-rows.ts";

/** What a version is made of. */
export interface VersionContents {
  readonly files: readonly VersionFile[];
  readonly resolvedRevision: string;
  readonly license: string;
  readonly metadata: VersionMetadata;
  /** Default none. */
  readonly labels?: Labels;
}

/**
 * The version of a locked model that has these files, as it is; else makes it, with its events. The transaction holds the
 * blobs of all files.
 */
export async function findOrMakeVersion(
  tx: Transaction,
  changes: Changes,
  model: ModelRow,
  { files, resolvedRevision, license, metadata, labels }: VersionContents,
): Promise<Version> {
  const digest = manifestDigest(files);
  const [former] = await tx
    .select({ version: versions.version })
    .from(versions)
    .where(and(eq(versions.modelId, model.id), eq(versions.manifestDigest, digest)));
  if (former !== undefined) {
    await noteUse(tx, model.id, former.version);
    return await readVersion(tx, model.id, former.version);
  }

  const version = model.lastVersion + 1;
  await tx.insert(versions).values({
    modelId: model.id,
    version,
    manifestDigest: digest,
    resolvedRevision,
    totalBytes: files.reduce((sum, { size }) => sum + size, 0),
    fileCount: files.length,
    metadata,
    license,
    labels,
  });
  await tx.execute(sql`
    insert into version_files (model_id, version, path, size, digest)
    select ${model.id}, ${version}::integer, path, size, digest
    from ${recordset(files, "file", "path text, size bigint, digest text")}`);
  const made = await readVersion(tx, model.id, version);
  changes.add("CREATED", "version", made);
  await changeModel(tx, changes, model, { status: "AVAILABLE", lastVersion: version });
  return made;
}
