import { AbortMultipartUploadCommand, type CompletedPart, CreateMultipartUploadCommand } from "@aws-sdk/client-s3";
import { mapConcurrently } from "../../lib/map-concurrently.ts";
import type { S3Bucket } from "./s3-bucket.ts";

/** Where a part goes. */
export interface PartTarget {
  readonly Bucket: string;
  readonly Key: string;
  readonly UploadId: string;
  readonly PartNumber: number;
}

/** A part of an object, in bytes: from `start` up to, not including, `end`. */
export interface PartBounds {
  readonly start: number;
  readonly end: number;
}

/** An object that is made of parts. */
export interface PartedUpload {
  readonly key: string;
  readonly size: number;
  /** Bytes of all parts but the last. */
  readonly partBytes: number;
  /** Brings one part; answers its etag. */
  bring(target: PartTarget, bounds: PartBounds, signal: AbortSignal): Promise<string | undefined>;
  /** Runs beside; the object appears only if it succeeds. */
  check(signal: AbortSignal): Promise<void>;
  /** Makes the object appear of its parts. */
  complete(target: Omit<PartTarget, "PartNumber">, parts: CompletedPart[]): Promise<void>;
}

const AT_ONCE = 4;

/** Makes an object of parts, which appears whole or not at all; what was uploaded for nothing is thrown away. */
export async function uploadInParts(s3: S3Bucket, upload: PartedUpload): Promise<void> {
  const { client, bucket } = s3;
  const { key, size, partBytes } = upload;
  const place = { Bucket: bucket, Key: key };
  const { UploadId = "" } = await client.send(new CreateMultipartUploadCommand(place));
  const target = { ...place, UploadId };
  const stop = new AbortController();
  const starts = Array.from({ length: Math.ceil(size / partBytes) }, (_, index) => index * partBytes);
  const bringing = mapConcurrently(starts, AT_ONCE, stop.signal, async (start, index, signal) => {
    const PartNumber = index + 1;
    const bounds = { start, end: Math.min(start + partBytes, size) };
    return { PartNumber, ETag: await upload.bring({ ...target, PartNumber }, bounds, signal) };
  });
  const checking = upload.check(stop.signal);
  try {
    const [parts] = await Promise.all([bringing, checking]);
    await upload.complete(target, parts);
  } catch (error) {
    stop.abort(error);
    // A part that arrives after its upload was thrown away would stay for ever.
    await Promise.allSettled([bringing, checking]);
    await client.send(new AbortMultipartUploadCommand(target)).catch(() => {});
    throw error;
  }
}
