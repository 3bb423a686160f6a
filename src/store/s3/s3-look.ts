import {
  HeadBucketCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
} from "@aws-sdk/client-s3";
import { DomainError } from "../../domain/errors.ts";
import { type S3Bucket, statusOf } from "./s3-bucket.ts";

/** What is told of an object; undefined if there is none, though the bucket is there. */
export async function lookAt(s3: S3Bucket, key: string): Promise<HeadObjectCommandOutput | undefined> {
  try {
    return await s3.client.send(new HeadObjectCommand({ Bucket: s3.bucket, Key: key }));
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
    // The answer is the same without the bucket.
    await s3.client.send(new HeadBucketCommand({ Bucket: s3.bucket }));
    return undefined;
  }
}

/** STORE_UNAVAILABLE if there is nothing at all: rather another bucket or prefix than a store that lost every blob. */
export async function assertInUse(s3: S3Bucket): Promise<void> {
  const { client, bucket, prefix } = s3;
  const { KeyCount } = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, MaxKeys: 1 }));
  if (KeyCount === 0)
    throw new DomainError("STORE_UNAVAILABLE", "the store is empty: is it the right bucket and prefix?");
}

/** Tells an object from any other that takes its key later. An etag is no digest, but it changes with the bytes. */
export function identityOf({ ETag, LastModified, VersionId, ContentLength }: Partial<HeadObjectCommandOutput>): string {
  return [ETag, LastModified?.getTime(), VersionId, ContentLength].join(" ");
}
