import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
} from "@aws-sdk/client-s3";
import type { Logger } from "../../domain/logger.ts";
import { type S3Bucket, statusOf } from "./s3-bucket.ts";

/** No upload takes as long. */
export const ABANDONED_AFTER_MS = 24 * 3_600_000;

const NOT_IMPLEMENTED: readonly (number | undefined)[] = [501, 405];

/** Throws away uploads that nobody will end: their parts take room and cannot be seen. Answers how many there were. */
export async function abortAbandoned(s3: S3Bucket, ageMs: number, log: Logger): Promise<number> {
  const { client, bucket, blobs } = s3;
  const before = Date.now() - ageMs;
  let count = 0;
  try {
    for (let page: ListMultipartUploadsCommandOutput | undefined; page === undefined || page.IsTruncated; ) {
      const markers = { KeyMarker: page?.NextKeyMarker, UploadIdMarker: page?.NextUploadIdMarker };
      page = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: blobs, ...markers }));
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Initiated === undefined || Initiated.getTime() > before) continue;
        await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
        count += 1;
      }
    }
  } catch (error) {
    // A rule of the bucket's own may do it, or the rights to it may be missing: the store works without.
    const isUnknown = NOT_IMPLEMENTED.includes(statusOf(error));
    log[isUnknown ? "debug" : "warn"]("abandoned uploads of the store cannot be thrown away", { error });
  }
  if (count > 0) log.info("abandoned uploads of the store were thrown away", { count });
  return count;
}
