import { HeadObjectCommand, type HeadObjectCommandInput, type HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import { type Digest, digestOfHex } from "../../domain/digest.ts";
import { DomainError, isDomainError } from "../../domain/errors.ts";
import { SourceUnavailable } from "../../domain/ports/sources.ts";
import type { Bucket } from "./bucket.ts";
import { quoted, type S3Object } from "./list-objects.ts";

/** An object with all that its bytes are known by. */
export interface PinnedObject extends S3Object {
  /** Where the bucket keeps versions. */
  readonly versionId?: string;
  /** Where it was uploaded with a SHA-256 of all of its bytes. */
  readonly digest?: Digest;
}

/** Asks for what a list does not say of an object. SourceUnavailable if it is another one by now. */
export async function pinObject(bucket: Bucket, object: S3Object, signal: AbortSignal): Promise<PinnedObject> {
  const { key, etag, archive } = object;
  const subject = objectName(bucket, object);
  const head = await headObject(bucket, { Key: key, ChecksumMode: "ENABLED" }, subject, signal);
  if (quoted(head.ETag ?? "") !== etag || head.ContentLength !== object.size) {
    throw new SourceUnavailable(`${subject} changed while it was looked at`);
  }
  if (archive !== undefined && !/ongoing-request="false"/.test(head.Restore ?? "")) {
    throw new DomainError("SOURCE_FORBIDDEN", `${subject} is archived (${archive}): restore it first`);
  }
  // Servers that keep none say so in this way.
  const versionId = head.VersionId === "null" ? undefined : head.VersionId;
  return { ...object, versionId, digest: digestOfHead(head) };
}

/** The same objects, without versions where whoever asks may only read the newest one: that is a right of its own. */
export async function withReadableVersions(
  bucket: Bucket,
  objects: readonly PinnedObject[],
  signal: AbortSignal,
): Promise<readonly PinnedObject[]> {
  const probe = objects.find(({ versionId }) => versionId !== undefined);
  if (probe === undefined) return objects;
  try {
    await headObject(bucket, { Key: probe.key, VersionId: probe.versionId }, objectName(bucket, probe), signal);
    return objects;
  } catch (error) {
    if (!isDomainError(error, "SOURCE_FORBIDDEN")) throw error;
    return objects.map(({ versionId: _, ...object }) => object);
  }
}

/** Looks at an object; the errors are those of `open` in the port of sources. */
export async function headObject(
  bucket: Bucket,
  input: Omit<HeadObjectCommandInput, "Bucket">,
  subject: string,
  signal: AbortSignal,
): Promise<HeadObjectCommandOutput> {
  return bucket.ask(
    signal,
    (client, options) => client.send(new HeadObjectCommand({ Bucket: bucket.bucket, ...input }), options),
    subject,
  );
}

/** An object as messages name it. */
export function objectName({ subject }: Pick<Bucket, "subject">, { path }: Pick<S3Object, "path">): string {
  return `'${path}' in ${subject}`;
}

/** Of one that was uploaded in parts there may be a hash of hashes instead, which says so. */
function digestOfHead({ ChecksumSHA256 = "", ChecksumType }: HeadObjectCommandOutput): Digest | undefined {
  if (ChecksumType === "COMPOSITE" || !/^[A-Za-z0-9+/]{43}=$/.test(ChecksumSHA256)) return undefined;
  return digestOfHex(Buffer.from(ChecksumSHA256, "base64").toString("hex"));
}
