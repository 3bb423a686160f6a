import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  DeleteObjectCommand,
  paginateListObjectsV2,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { type Digest, hexOfDigest } from "../../domain/digest.ts";
import type { BlobCheck } from "../../domain/ports/blob-store.ts";
import type { S3Bucket } from "./s3-bucket.ts";
import { assertInUse, identityOf, lookAt } from "./s3-look.ts";
import { uploadInParts } from "./s3-parts.ts";

/** Nothing of these parts passes through here. */
const COPIED_PART_BYTES = 1024 ** 3;

/** Puts a blob's object aside; see `BlobStore.quarantine`. */
export async function quarantineObject(s3: S3Bucket, digest: Digest, check: BlobCheck): Promise<boolean> {
  if (check.found === "intact") return false;
  const key = s3.keyOf(digest);
  const now = await lookAt(s3, key);
  if (now === undefined) {
    await assertInUse(s3);
    return true;
  }
  if (check.found === "missing" || identityOf(now) !== check.identity) return false;
  const aside = `${s3.quarantine}${hexOfDigest(digest)}.${Date.now()}`;
  await copyObject(s3, { from: key, to: aside, size: now.ContentLength ?? 0, etag: now.ETag });
  await removeObject(s3, key);
  return true;
}

/** Takes away what was put aside long enough ago; see `BlobStore.emptyQuarantine`. */
export async function emptyQuarantinedObjects(s3: S3Bucket, ageMs: number, dryRun: boolean): Promise<number> {
  const { client, bucket, quarantine } = s3;
  let bytes = 0;
  for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: quarantine })) {
    for (const { Key = "", Size = 0 } of Contents) {
      const since = Number(/\.(\d+)$/.exec(Key)?.[1]);
      if (!(Date.now() - since >= ageMs)) continue;
      bytes += Size;
      if (!dryRun) await removeObject(s3, Key);
    }
  }
  return bytes;
}

/** Takes an object away; harmless if there is none. */
export async function removeObject({ client, bucket }: S3Bucket, key: string): Promise<void> {
  await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
}

async function copyObject(
  s3: S3Bucket,
  { from, to, size, etag }: { from: string; to: string; size: number; etag?: string },
): Promise<void> {
  const { client, bucket } = s3;
  const source = {
    CopySource: [bucket, ...from.split("/")].map(encodeURIComponent).join("/"),
    CopySourceIfMatch: etag,
  };
  if (size <= s3.copyLimitBytes) {
    await client.send(new CopyObjectCommand({ Bucket: bucket, Key: to, ...source }));
    return;
  }
  await uploadInParts(s3, {
    key: to,
    size,
    partBytes: COPIED_PART_BYTES,
    async bring(target, { start, end }, abortSignal) {
      const CopySourceRange = `bytes=${start}-${end - 1}`;
      const command = new UploadPartCopyCommand({ ...target, ...source, CopySourceRange });
      return (await client.send(command, { abortSignal })).CopyPartResult?.ETag;
    },
    check: async () => {},
    async complete(target, Parts) {
      await client.send(new CompleteMultipartUploadCommand({ ...target, MultipartUpload: { Parts } }));
    },
  });
}
