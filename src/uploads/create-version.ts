import { blobsNotFound } from "../domain/blobs-not-found.ts";
import { assertDistinctPaths } from "../domain/file-path.ts";
import type { Version } from "../domain/model.ts";
import type { BlobAdmissions } from "../domain/ports/blob-admissions.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { MetadataReader } from "../domain/ports/metadata.ts";
import type { Models } from "../domain/ports/models.ts";
import type { WantedVersion } from "../domain/ports/version-maker.ts";
import { mapConcurrently } from "../lib/map-concurrently.ts";

/** What making a version needs. */
export interface CreateVersionTools {
  readonly store: Pick<BlobStore, "stat">;
  readonly admissions: Pick<BlobAdmissions, "renew">;
  readonly models: Pick<Models, "get" | "createVersion">;
  readonly metadata?: MetadataReader;
}

const LOOKS_AT_ONCE = 16;

/** See `VersionMaker.create`. */
export async function createVersion(
  { store, admissions, models, metadata }: CreateVersionTools,
  modelId: string,
  wanted: WantedVersion,
  signal: AbortSignal,
): Promise<Version> {
  assertDistinctPaths(
    wanted.files.map(({ path }) => path),
    (index) => `files[${index}].path`,
    { ignoreCase: true },
  );
  await models.get(modelId);
  const digests = [...new Set(wanted.files.map(({ digest }) => digest))];
  const sizes = new Map(await admissions.renew(digests));
  // The record may know a blob that somebody took out of the store's folder, or cut short there.
  await mapConcurrently([...sizes], LOOKS_AT_ONCE, signal, async ([digest, size]) => {
    if ((await store.stat(digest))?.size !== size) sizes.delete(digest);
  });
  const missing = wanted.files.filter(({ digest }) => !sizes.has(digest));
  if (missing.length > 0) throw blobsNotFound(missing);
  const files = wanted.files.map(({ path, digest }) => ({ path, digest, size: sizes.get(digest) ?? 0 }));
  const said = (await metadata?.read(files, signal)) ?? {};
  return await models.createVersion(modelId, { ...wanted, files, metadata: said });
}
