import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Model } from "../../../gen/modelmanager/v1/model_pb.ts";
import type { Version } from "../../../gen/modelmanager/v1/version_pb.ts";
import { canonicalJson } from "../../lib/canonical-json.ts";
import { factsOf, factsToAnnotations, PREFIX } from "./facts.ts";
import { layerMediaType } from "./file-kind.ts";
import { ANNOTATION, type Descriptor, type Document, documentOf, MEDIA_TYPE } from "./oci.ts";
import { refName } from "./ref-name.ts";

/** A version as a bundle holds it: documents to be written, and the entry that names it in the index. */
export interface DescribedVersion {
  readonly config: Document;
  readonly manifest: Document;
  readonly entry: Descriptor;
}

/** Where a version stands among others of its model. */
export interface Place {
  /** The alias or the number by which other tools find it. */
  readonly tag: string;
  /** The version whose blobs are left out because the reader has them. */
  readonly since?: Version;
}

/**
 * Writes a version as a ModelPack: each file is a layer as it is, in the order of the version's files. The same version of
 * an unchanged model makes the same bytes.
 */
export function describeVersion(model: Model, version: Version, { tag, since }: Place): DescribedVersion {
  const facts = factsOf(model, version);
  const annotations = factsToAnnotations(facts);
  const layers = version.files.map(({ path, digest, size }) => ({
    mediaType: layerMediaType(path),
    digest,
    size: Number(size),
    annotations: { [ANNOTATION.filePath]: path, [ANNOTATION.title]: path },
  }));
  const config = documentOf(modelConfig(model, version));
  const manifest = documentOf({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.manifest,
    artifactType: MEDIA_TYPE.model,
    config: { mediaType: MEDIA_TYPE.modelConfig, digest: config.digest, size: config.bytes.length },
    layers,
    annotations,
  });
  const aliases = model.aliases.filter((alias) => alias.version === version.version).map(({ alias }) => alias);
  const entry = {
    mediaType: MEDIA_TYPE.manifest,
    artifactType: MEDIA_TYPE.model,
    digest: manifest.digest,
    size: manifest.bytes.length,
    annotations: {
      ...annotations,
      [ANNOTATION.refName]: refName(model.id, tag),
      ...(aliases.length > 0 && { [`${PREFIX}aliases`]: canonicalJson(aliases) }),
      ...(since && { [`${PREFIX}since`]: String(since.version) }),
    },
  };
  return { config, manifest, entry };
}

/** The configuration that ModelPack wants, by its own names; what is unknown is left out. */
function modelConfig(model: Model, version: Version) {
  const { metadata, createTime, license } = version;
  return {
    descriptor: {
      createdAt: createTime && timestampDate(createTime).toISOString(),
      name: model.id,
      version: String(version.version),
      title: model.displayName || undefined,
      description: model.description || undefined,
      revision: version.resolvedRevision || undefined,
      licenses: license === "" ? undefined : [license],
    },
    config: {
      architecture: metadata?.architecture || undefined,
      format: metadata?.format || undefined,
      paramSize: metadata?.parameterCount === undefined ? undefined : paramSize(Number(metadata.parameterCount)),
      precision: metadata?.precision || undefined,
      quantization: metadata?.quantization || undefined,
    },
    modelfs: { type: "layers", diffIds: version.files.map(({ digest }) => digest) },
  };
}

const SCALES = [
  ["T", 1e12],
  ["B", 1e9],
  ["M", 1e6],
  ["K", 1e3],
] as const;

/** A count of parameters with at most one decimal: `6.7B`. */
function paramSize(count: number): string {
  for (const [letter, factor] of SCALES) {
    if (count >= factor) return `${Math.round((count * 10) / factor) / 10}${letter}`;
  }
  return String(count);
}
