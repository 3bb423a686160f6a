import { z } from "zod";
import type { Digest } from "../../domain/digest.ts";
import { invalidField } from "../../domain/errors.ts";
import { misunderstood, nameOfReference, type OciReference } from "./reference.ts";

const INDEX_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFEST_TYPES = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

/** What a registry is asked for: it converts or refuses what is not accepted. */
export const ACCEPTED = [...MANIFEST_TYPES, ...INDEX_TYPES].join(", ");

const MAX_SHOWN = 10;

const ANNOTATIONS = z.record(z.string(), z.string()).nullish();

const DESCRIPTOR = z.object({
  mediaType: z.string().max(255),
  digest: z.templateLiteral(["sha256:", z.string().regex(/^[0-9a-f]{64}$/)]),
  size: z.int().nonnegative(),
  annotations: ANNOTATIONS,
});

const MANIFEST = z.object({
  artifactType: z.string().nullish(),
  config: DESCRIPTOR,
  layers: z.array(DESCRIPTOR),
  annotations: ANNOTATIONS,
});

const INDEX = z.object({
  manifests: z.array(
    DESCRIPTOR.extend({
      artifactType: z.string().nullish(),
      platform: z.object({ os: z.string(), architecture: z.string() }).nullish(),
    }),
  ),
});

/** Where bytes are and what they are. */
export type Descriptor = z.infer<typeof DESCRIPTOR>;

/** What an artifact is made of. */
export type Manifest = z.infer<typeof MANIFEST>;

/** What a registry may answer for a reference: an artifact, or a list of several. */
export type ManifestOrIndex = { readonly manifest: Manifest } | { readonly index: z.infer<typeof INDEX> };

/** Reads a manifest or an index; `contentType` is what the answer's header says it is, where it does not itself. */
export function readManifest(reference: OciReference, json: unknown, contentType: string | undefined): ManifestOrIndex {
  const said = z.object({ mediaType: z.string() }).safeParse(json).data?.mediaType;
  const type = said ?? contentType?.split(";")[0]?.trim() ?? "";
  if (INDEX_TYPES.includes(type)) return { index: understood(reference, INDEX, json) };
  if (MANIFEST_TYPES.includes(type)) return { manifest: understood(reference, MANIFEST, json) };
  throw misunderstood(reference, `answers with a manifest of a kind that is not read: '${type.slice(0, 100)}'`);
}

/**
 * The digest of the one manifest that an index stands for. Models have no platform: it is the only one without, or else the
 * only one at all; what is attested of others does not count. FIELD_INVALID, with what there is, if that is not one.
 */
export function chooseManifest(reference: OciReference, { manifests }: z.infer<typeof INDEX>): Digest {
  const models = manifests.filter(
    ({ annotations, platform }) =>
      annotations?.["vnd.docker.reference.type"] === undefined && platform?.architecture !== "unknown",
  );
  const plain = models.filter(({ platform }) => platform === undefined || platform === null);
  const [chosen, ...others] = plain.length > 0 ? plain : models;
  if (chosen !== undefined && others.length === 0) return chosen.digest;
  const listed = models.slice(0, MAX_SHOWN).map(({ digest, platform, artifactType }) => {
    const what = platform ? `${platform.os}/${platform.architecture}` : artifactType;
    return what ? `${digest} (${what.slice(0, 100)})` : digest;
  });
  const more = models.length > MAX_SHOWN ? ` and ${models.length - MAX_SHOWN} more` : "";
  throw invalidField(
    "source.oci.reference",
    models.length === 0
      ? `must name an artifact: ${nameOfReference(reference)} is an empty index`
      : `must name one artifact by its digest: ${nameOfReference(reference)} is an index of ${listed.join(", ")}${more}`,
  );
}

function understood<Schema extends z.ZodType>(reference: OciReference, schema: Schema, json: unknown): z.infer<Schema> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw misunderstood(reference, "answers with a manifest that is not as it should be", result.error);
}
