import { z } from "zod";
import type { Digest } from "../../domain/digest.ts";
import { isDomainError } from "../../domain/errors.ts";
import { assertDistinctPaths, assertFilePath } from "../../domain/file-path.ts";
import { manifestDigest } from "../../domain/manifest.ts";
import type { VersionFile } from "../../domain/model.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";
import type { BundleFiles } from "./bundle-files.ts";
import { type Facts, factsFromAnnotations, PREFIX, readAnnotation } from "./facts.ts";
import {
  ANNOTATION,
  type Descriptor,
  INDEX_FILE,
  indexShape,
  MEDIA_TYPE,
  manifestShape,
  parseDocument,
} from "./oci.ts";

/** A version that a bundle holds; its documents are checked, its blobs are not yet. */
export interface BundledVersion {
  /** What the index calls it, for people. */
  readonly name: string;
  /** Undefined if another program made it. */
  readonly facts?: Facts;
  readonly aliases: readonly string[];
  /** The version whose blobs were left out of the bundle, if any. */
  readonly since?: string;
  readonly files: readonly VersionFile[];
  /** By our own rule, whoever made the bundle. */
  readonly manifestDigest: Digest;
}

/** Layers that are not the file itself. */
const ARCHIVE = /[.+](?:tar|tgz|gzip|zstd)$/;

const namesShape = z.array(z.string());

/**
 * Reads the index and the manifests of a bundle, and checks them against their digests and their rules. A version that the
 * index names twice comes once, with the aliases of both.
 *
 * @throws CliError that names the file and the rule that it breaks.
 */
export async function readBundle(files: BundleFiles): Promise<BundledVersion[]> {
  const { manifests } = parseDocument(indexShape, INDEX_FILE, await files.read(INDEX_FILE));
  const versions = new Map<string, BundledVersion>();
  for (const entry of manifests) {
    const version = await readVersion(files, entry);
    const same = `${version.facts?.modelId} ${version.manifestDigest}`;
    const aliases = new Set([...(versions.get(same)?.aliases ?? []), ...version.aliases]);
    versions.set(same, { ...version, aliases: [...aliases] });
  }
  return [...versions.values()];
}

async function readVersion(files: BundleFiles, entry: Descriptor): Promise<BundledVersion> {
  const name = entry.annotations?.[ANNOTATION.refName] ?? entry.digest;
  if (entry.mediaType !== MEDIA_TYPE.manifest) {
    throw new CliError(
      EXIT.failure,
      `${name}: the index must name manifests (${MEDIA_TYPE.manifest}), not ${entry.mediaType}`,
    );
  }
  const manifest = parseDocument(manifestShape, `${name}: its manifest`, await files.readBlob(entry.digest));
  await files.readBlob(manifest.config.digest);
  const layers = manifest.layers.map((layer) => fileOf(name, layer));
  assertPaths(name, layers);
  assertSizes(name, layers);
  const annotations = { ...entry.annotations, ...manifest.annotations };
  const facts = factsFromAnnotations(annotations);
  const digest = manifestDigest(layers);
  if (facts !== undefined && facts.manifestDigest !== "" && facts.manifestDigest !== digest) {
    throw new CliError(
      EXIT.failure,
      `${name}: its files are not those of the version that it says it is (${facts.manifestDigest})`,
    );
  }
  return {
    name,
    facts,
    aliases:
      readAnnotation("aliases", annotations[`${PREFIX}aliases`] ?? "", (json) => namesShape.parse(JSON.parse(json))) ??
      [],
    since: annotations[`${PREFIX}since`],
    files: layers,
    manifestDigest: digest,
  };
}

function fileOf(name: string, { mediaType, annotations = {}, digest, size }: Descriptor): VersionFile {
  if (ARCHIVE.test(mediaType)) {
    throw new CliError(
      EXIT.failure,
      `${name}: each layer must be one file as it is: ${digest} is an archive (${mediaType})`,
    );
  }
  const path =
    annotations[ANNOTATION.filePath] ?? annotations[ANNOTATION.formerFilePath] ?? annotations[ANNOTATION.title];
  if (path !== undefined) return { path, digest, size };
  throw new CliError(EXIT.failure, `${name}: the layer ${digest} must have a path (annotation ${ANNOTATION.filePath})`);
}

function assertPaths(name: string, layers: readonly VersionFile[]): void {
  try {
    for (const { path } of layers) assertFilePath(`'${path}'`, path);
    assertDistinctPaths(
      layers.map(({ path }) => path),
      () => "paths",
    );
  } catch (error) {
    throw isDomainError(error) ? new CliError(EXIT.failure, `${name}: ${error.message}`) : error;
  }
}

function assertSizes(name: string, layers: readonly VersionFile[]): void {
  const sizes = new Map<string, number>();
  for (const { digest, size } of layers) {
    if (sizes.has(digest) && sizes.get(digest) !== size)
      throw new CliError(EXIT.failure, `${name}: ${digest} must have one size`);
    sizes.set(digest, size);
  }
}
