import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { DomainError, isDomainError } from "../../domain/errors.ts";
import type { Bucket } from "./bucket.ts";
import { archiveOf, quoted, type S3Object } from "./list-objects.ts";
import { headObject, objectName } from "./pin-object.ts";

/** Looks for a single object; where it is not, says whether the bucket is, and whether a prefix was meant. */
export async function findObject(bucket: Bucket, key: string, signal: AbortSignal): Promise<S3Object> {
  const path = key.slice(key.lastIndexOf("/") + 1);
  const subject = objectName(bucket, { path: key });
  try {
    const head = await headObject(bucket, { Key: key }, subject, signal);
    return {
      key,
      path,
      size: head.ContentLength ?? 0,
      etag: quoted(head.ETag ?? ""),
      archive: archiveOf(head.StorageClass),
    };
  } catch (error) {
    if (!isDomainError(error, "SOURCE_FILE_NOT_FOUND")) throw error;
    const isPrefix = await hasAny(bucket, `${key}/`, signal);
    const hint = isPrefix ? ": to take what lies below it, end the address with a slash" : "";
    const { cause, metadata } = error;
    throw new DomainError("SOURCE_FILE_NOT_FOUND", `there is no object ${subject}${hint}`, { cause, metadata });
  }
}

/** Whether something lies below a prefix; SOURCE_NOT_FOUND without the bucket. False if that may not be known. */
async function hasAny(bucket: Bucket, prefix: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { Contents = [] } = await bucket.ask(signal, (client, options) =>
      client.send(new ListObjectsV2Command({ Bucket: bucket.bucket, Prefix: prefix, MaxKeys: 1 }), options),
    );
    return Contents.length > 0;
  } catch (error) {
    if (isDomainError(error, "SOURCE_FORBIDDEN")) return false;
    throw error;
  }
}
