import { type _Object as ListedObject, ListObjectsV2Command, type StorageClass } from "@aws-sdk/client-s3";
import { DomainError } from "../../domain/errors.ts";
import { MAX_FILES } from "../files.ts";
import type { Bucket } from "./bucket.ts";

/** An object as the bucket has it now. */
export interface S3Object {
  readonly key: string;
  /** The path of the file that it is. */
  readonly path: string;
  readonly size: number;
  /** Changes with the bytes, and is no digest of them. */
  readonly etag: string;
  /** Why it cannot be read before somebody restores it. */
  readonly archive?: string;
}

const MAX_PAGES = 1000;
const ARCHIVES: ReadonlySet<string | undefined> = new Set<StorageClass>(["GLACIER", "DEEP_ARCHIVE"]);

/** Lists what lies below a prefix, page after page. Empty objects that stand for folders are passed over. */
export async function listObjects(bucket: Bucket, prefix: string, signal: AbortSignal): Promise<S3Object[]> {
  const objects: S3Object[] = [];
  let token: string | undefined;
  for (let page = 0; page === 0 || token !== undefined; page++) {
    if (page === MAX_PAGES) throw misunderstood(bucket, "never comes to an end of its list");
    const answer = await bucket.ask(signal, (client, options) =>
      client.send(
        new ListObjectsV2Command({
          Bucket: bucket.bucket,
          Prefix: prefix,
          // XML cannot hold all characters that keys can.
          EncodingType: "url",
          ContinuationToken: token,
        }),
        options,
      ),
    );
    const keyOf = answer.EncodingType === "url" ? decoded : (key: string) => key;
    for (const listed of answer.Contents ?? []) {
      const object = understood(bucket, listed, prefix, keyOf);
      if (object !== undefined) objects.push(object);
      if (objects.length > MAX_FILES)
        throw misunderstood(bucket, `has more than ${MAX_FILES} objects below '${prefix}'`);
    }
    token = answer.IsTruncated === true ? answer.NextContinuationToken : undefined;
  }
  return objects;
}

function understood(
  bucket: Bucket,
  { Key, Size, ETag, StorageClass: storageClass }: ListedObject,
  prefix: string,
  keyOf: (key: string) => string,
): S3Object | undefined {
  if (Key === undefined || Size === undefined || ETag === undefined)
    throw misunderstood(bucket, "does not list as S3 does");
  const key = keyOf(Key);
  if (!key.startsWith(prefix)) throw misunderstood(bucket, `lists what does not lie below '${prefix}'`);
  if (Size === 0 && (key.endsWith("/") || key === prefix)) return undefined;
  return { key, path: key.slice(prefix.length), size: Size, etag: quoted(ETag), archive: archiveOf(storageClass) };
}

/** The storage class of an object that cannot be read as it is. */
export function archiveOf(storageClass: string | undefined): string | undefined {
  return ARCHIVES.has(storageClass) ? storageClass : undefined;
}

/** Some servers leave the quotes out that HTTP wants. */
export function quoted(etag: string): string {
  return etag.startsWith('"') ? etag : `"${etag}"`;
}

function decoded(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll("+", "%20"));
  } catch {
    return key;
  }
}

/** Not a SourceUnavailable: asked again, it would answer the same. */
function misunderstood({ subject }: Bucket, what: string): DomainError {
  return new DomainError("SOURCE_UNAVAILABLE", `${subject} ${what}`);
}
