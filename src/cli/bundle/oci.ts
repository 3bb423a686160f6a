import { createHash } from "node:crypto";
import { z } from "zod";
import { type Digest, digestOfHex } from "../../domain/digest.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";

/** Media types of the OCI image specification and of the CNCF's ModelPack. */
export const MEDIA_TYPE = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  model: "application/vnd.cncf.model.manifest.v1+json",
  modelConfig: "application/vnd.cncf.model.config.v1+json",
} as const;

/** Annotations that other tools read too. */
export const ANNOTATION = {
  refName: "org.opencontainers.image.ref.name",
  title: "org.opencontainers.image.title",
  filePath: "org.cncf.model.filepath",
  /** The same in the specification's first drafts. */
  formerFilePath: "org.cnai.model.filepath",
} as const;

/** The names of a layout's files, and what stands in the first. */
export const LAYOUT_FILE = "oci-layout";
export const INDEX_FILE = "index.json";
export const LAYOUT = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/** The largest index, manifest or configuration that is read, in bytes. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

/** Where the bytes of a digest are in a layout. */
export function blobFile(digest: Digest): string {
  return `blobs/${digest.replace(":", "/")}`;
}

const annotations = z.record(z.string(), z.string());
const descriptor = z.object({
  mediaType: z.string(),
  artifactType: z.string().optional(),
  digest: z.templateLiteral(["sha256:", z.string().regex(/^[0-9a-f]{64}$/)]),
  size: z.int().nonnegative(),
  annotations: annotations.optional(),
});

/** The shape of `index.json`. */
export const indexShape = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.literal(MEDIA_TYPE.index).optional(),
  manifests: z.array(descriptor).min(1).max(10_000),
});

/** The shape of a manifest. */
export const manifestShape = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.literal(MEDIA_TYPE.manifest).optional(),
  artifactType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor).min(1).max(10_000),
  annotations: annotations.optional(),
});

/** The name, size and kind of bytes that lie elsewhere. */
export type Descriptor = z.infer<typeof descriptor>;

/** Bytes that are small enough to be held, by their digest. */
export interface Document {
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/** Writes a value as a document. */
export function documentOf(value: unknown): Document {
  const bytes = Buffer.from(JSON.stringify(value));
  return { digest: digestOf(bytes), bytes };
}

/** The digest of bytes. */
export function digestOf(bytes: Uint8Array): Digest {
  return digestOfHex(createHash("sha256").update(bytes).digest("hex"));
}

/**
 * Reads a document that is called `name`.
 *
 * @throws CliError that names the field and the rule that it breaks.
 */
export function parseDocument<Shape extends z.ZodType>(shape: Shape, name: string, bytes: Buffer): z.infer<Shape> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    throw new CliError(EXIT.failure, `${name}: must be JSON`);
  }
  const { data, error } = shape.safeParse(value);
  if (error === undefined) return data as z.infer<Shape>;
  const [issue] = error.issues;
  throw new CliError(EXIT.failure, `${name}: ${issue?.path.join(".") || "it"}: ${issue?.message ?? "is malformed"}`);
}
