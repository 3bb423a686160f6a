import { DomainError } from "../domain/errors.ts";
import type { Version } from "../domain/model.ts";
import type { Lease, Publication } from "../domain/ports/download-jobs.ts";
import { assertInStore } from "./blobs.ts";
import { endDownload } from "./change-download.ts";
import type { Database, Transaction } from "./database.ts";
import { countersOf, leaseStale, lockDownload } from "./download-rows.ts";
import { findOrMakeVersion } from "./make-version.ts";
import type { ModelRow } from "./model-rows.ts";
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
