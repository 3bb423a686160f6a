import { S3Client, type S3ServiceException } from "@aws-sdk/client-s3";
import { type Digest, hexOfDigest } from "../../domain/digest.ts";
import type { AccessKey } from "../../domain/ports/credentials.ts";
import { Semaphore } from "../../lib/semaphore.ts";

/** Where a store lies. */
export interface S3Location {
  readonly bucket: string;
  /** What all keys of the store begin with: empty, or ending with a slash. */
  readonly prefix: string;
  /** Absent for Amazon's own servers. */
  readonly endpoint?: string;
  readonly region: string;
  /** Default what AWS's own tools would find in the environment. */
  readonly accessKey?: AccessKey;
  /** The most bytes that the server copies at one request; default 5 GiB, as Amazon's does. */
  readonly copyLimitBytes?: number;
}

/** A bucket and what is needed to work on it. */
export interface S3Bucket {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix: string;
  /** The beginning of the keys of all blobs. */
  readonly blobs: string;
  /** The beginning of the keys of what was put aside. */
  readonly quarantine: string;
  /** The key of a blob: below the prefix as on a disk, so that a folder can be copied into a bucket and back. */
  keyOf(digest: Digest): string;
  readonly copyLimitBytes: number;
  /** Who holds one may have a part of an upload in memory. */
  readonly slots: Semaphore;
}

/** Parts that are in memory at the same time, over all uploads. */
const SLOTS = 4;
const CONNECT_TIMEOUT_MS = 5_000;
/** Between two pieces of an answer. */
const STALL_MS = 30_000;
const ATTEMPTS = 4;
/** Each blob that is read takes one for as long; whoever only asks must not wait for them. */
const MOST_SOCKETS = 1024;

/** Opens a bucket. Nothing is sent yet. */
export function openS3Bucket(location: S3Location): S3Bucket {
  const { bucket, prefix, endpoint, region, accessKey, copyLimitBytes = 5 * 1024 ** 3 } = location;
  const client = new S3Client({
    region,
    endpoint,
    // Few other servers answer to a host name for each bucket.
    forcePathStyle: endpoint !== undefined,
    credentials: accessKey,
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: STALL_MS,
      httpAgent: { keepAlive: true, maxSockets: MOST_SOCKETS },
      httpsAgent: { keepAlive: true, maxSockets: MOST_SOCKETS },
    },
    // Other servers do not know the newer ones.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
  const blobs = `${prefix}blobs/`;
  return {
    client,
    bucket,
    prefix,
    blobs,
    quarantine: `${prefix}quarantine/`,
    keyOf(digest) {
      const hex = hexOfDigest(digest);
      return `${blobs}sha256/${hex.slice(0, 2)}/${hex}`;
    },
    copyLimitBytes,
    slots: new Semaphore(SLOTS),
  };
}

/** The HTTP status of an answer that the SDK took for an error; undefined for any other error. */
export function statusOf(error: unknown): number | undefined {
  return (error as Partial<S3ServiceException> | undefined)?.$metadata?.httpStatusCode;
}
