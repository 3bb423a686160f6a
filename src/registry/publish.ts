import { and, eq, sql } from "drizzle-orm";
import { DomainError } from "../domain/errors.ts";
import { manifestDigest } from "../domain/manifest.ts";
import type { Version } from "../domain/model.ts";
import type { Lease, Publication } from "../domain/ports/download-jobs.ts";
import { assertInStore } from "./blobs.ts";
import { endDownload } from "./change-download.ts";
import { changeModel } from "./change-model.ts";
import type { Database, Transaction } from "./database.ts";
import { countersOf, leaseStale, lockDownload } from "./download-rows.ts";
import type { Changes } from "./events.ts";
import { noteUse } from "./last-used.ts";
import type { ModelRow } from "./model-rows.ts";
import { recordset } from "./rows.ts";
import { versions } from "./schema/models.ts";
import { readVersion } from "./version-rows.ts";

/**
 * See `DownloadJobs.publish`: version, model, download and their events are one transaction.
 *
 * @throws DomainError BLOB_NOT_FOUND if a file's blob is not in the store.
 */
export async function publish(database: Database, lease: Lease, publication: Publication): Promise<Version> {
  return await database.transact(async (tx, changes) => {
    const locked = await lockDownload(tx, lease.downloadId);
    if (locked === undefined || locked.download.epoch !== lease.epoch) throw leaseStale(lease);
    const { model, download } = locked;
    if (download.state === "SUCCEEDED" && download.version !== null) {
      // The answer to the same call was lost.
      return await readVersion(tx, model.id, download.version);
    }
    await assertInStore(tx, publication.files);
    const version =
      download.repairsVersion === null
        ? await findOrMakeVersion(tx, changes, model, publication)
        : await repairedVersion(tx, model, download.repairsVersion, publication);
    await endDownload(tx, changes, download, {
      state: "SUCCEEDED",
      version: version.version,
      resolvedRevision: publication.resolvedRevision,
      counters: countersOf(publication.progress),
    });
    return version;
  });
}

/** The version that the files belong to; CONTENT_MISMATCH if one of them is not what it was. */
async function repairedVersion(
  tx: Transaction,
  model: ModelRow,
  number: number,
  { files }: Publication,
): Promise<Version> {
  const version = await readVersion(tx, model.id, number);
  const digests = new Map(version.files?.map(({ path, digest }) => [path, digest]));
  const changed = files.find(({ path, digest }) => digests.get(path) !== digest);
  if (changed === undefined) return version;
  throw new DomainError(
    "CONTENT_MISMATCH",
    `the source no longer has the bytes of '${changed.path}' that version ${number} of model '${model.id}' names`,
    { metadata: { path: changed.path } },
  );
}

async function findOrMakeVersion(
  tx: Transaction,
  changes: Changes,
  model: ModelRow,
  { files, resolvedRevision, license, metadata }: Publication,
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
