import type { Model } from "../../../gen/modelmanager/v1/model_pb.ts";
import type { Version } from "../../../gen/modelmanager/v1/version_pb.ts";
import type { ModelManagerClient } from "../../client/connect.ts";
import type { Digest } from "../../domain/digest.ts";
import { formatModelRef, parseModelRef } from "../../domain/model-ref.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";
import { describeVersion } from "./describe-version.ts";
import { ANNOTATION, type Descriptor, type Document } from "./oci.ts";

/** A blob that goes into a bundle. */
export interface ExportedBlob {
  readonly digest: Digest;
  readonly size: number;
  /** The first file that has it, for people: `tiny@1/model.safetensors`. */
  readonly path: string;
}

/** A version that goes into a bundle. */
export interface ExportedVersion {
  /** `id@3`. */
  readonly modelRef: string;
  /** By what other tools find it. */
  readonly refName: string;
  readonly manifestDigest: string;
}

/** All of a bundle, before a byte of it is fetched. */
export interface ExportPlan {
  readonly versions: readonly ExportedVersion[];
  readonly entries: readonly Descriptor[];
  /** Configurations and manifests. */
  readonly documents: readonly Document[];
  /** Each once, however many files have it. */
  readonly blobs: readonly ExportedBlob[];
  /** What `since` leaves out, in bytes. */
  readonly omittedBytes: number;
}

/**
 * Asks the service what the references name, and lays the bundle out.
 *
 * @throws CliError for a version with damaged files, or a `since` that does not go with the references; ConnectError
 */
export async function planExport(
  client: Pick<ModelManagerClient, "models">,
  modelRefs: readonly string[],
  sinceTag: string | undefined,
  signal: AbortSignal,
): Promise<ExportPlan> {
  const named = await Promise.all(modelRefs.map((modelRef) => resolve(client, modelRef, signal)));
  const since = sinceTag === undefined ? undefined : await resolveSince(client, named, sinceTag, signal);
  const omitted = new Map(since?.files.map(({ digest, size }) => [digest, Number(size)]));
  const omittedHere = new Set<string>();
  const versions = new Map<string, ExportedVersion>();
  const entries: Descriptor[] = [];
  const documents = new Map<Digest, Document>();
  const blobs = new Map<string, ExportedBlob>();
  for (const { model, version, tag } of named) {
    const { config, manifest, entry } = describeVersion(model, version, { tag, since });
    const refName = entry.annotations?.[ANNOTATION.refName] ?? "";
    if (versions.has(refName)) continue;
    const modelRef = formatModelRef({ modelId: model.id, version: version.version });
    versions.set(refName, { modelRef, refName, manifestDigest: version.manifestDigest });
    entries.push(entry);
    for (const document of [config, manifest]) documents.set(document.digest, document);
    for (const { digest, size, path } of version.files) {
      if (omitted.has(digest)) omittedHere.add(digest);
      else if (!blobs.has(digest))
        blobs.set(digest, { digest: digest as Digest, size: Number(size), path: `${modelRef}/${path}` });
    }
  }
  return {
    versions: [...versions.values()],
    entries,
    documents: [...documents.values()],
    blobs: [...blobs.values()],
    omittedBytes: [...omittedHere].reduce((sum, digest) => sum + (omitted.get(digest) ?? 0), 0),
  };
}

interface NamedVersion {
  readonly model: Model;
  readonly version: Version;
  /** The alias by which it was asked for, else its number. */
  readonly tag: string;
}

async function resolve(
  { models }: Pick<ModelManagerClient, "models">,
  modelRef: string,
  signal: AbortSignal,
): Promise<NamedVersion> {
  const { model, version } = await models.getModel({ modelRef }, { signal });
  if (model === undefined || version === undefined) {
    throw new CliError(EXIT.notFound, `${modelRef}: the model has no version yet`);
  }
  if (version.damagedFiles.length > 0) {
    throw new CliError(EXIT.failure, `${modelRef}: its file ${version.damagedFiles[0]} is damaged in the store`, {
      hint: "the service is getting it again by itself: export when that is done",
    });
  }
  return { model, version, tag: parseModelRef("ref", modelRef).alias ?? String(version.version) };
}

async function resolveSince(
  client: Pick<ModelManagerClient, "models">,
  named: readonly NamedVersion[],
  tag: string,
  signal: AbortSignal,
): Promise<Version> {
  const ids = new Set(named.map(({ model }) => model.id));
  const [modelId = ""] = ids;
  if (ids.size > 1) throw new CliError(EXIT.usage, "--since: goes with versions of one model");
  const { version } = await resolve(client, `${modelId}@${tag}`, signal);
  const newer = named.every((one) => one.version.version > version.version);
  if (newer) return version;
  throw new CliError(EXIT.usage, `--since ${tag}: must name a version older than those that are exported`);
}
