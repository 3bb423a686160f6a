import { constants } from "node:fs";
import { access, mkdir, statfs } from "node:fs/promises";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { HeadBucketCommand, NoSuchBucket } from "@aws-sdk/client-s3";
import type { Digest } from "../../domain/digest.ts";
import { DomainError } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import type { BlobStore, ByteRange } from "../../domain/ports/blob-store.ts";
import { FileHasher } from "../../lib/hashing/file-hasher.ts";
import { FOLDER_MODE } from "../../lib/make-folder.ts";
import { onDisk } from "../disk-errors.ts";
import { ABANDONED_AFTER_MS, abortAbandoned } from "./s3-abandoned.ts";
import { openS3Bucket, type S3Bucket, type S3Location, statusOf } from "./s3-bucket.ts";
import { commitFile } from "./s3-commit.ts";
import { onBucket } from "./s3-errors.ts";
import { lookAt } from "./s3-look.ts";
import { emptyQuarantinedObjects, quarantineObject, removeObject } from "./s3-quarantine.ts";
import { openObject } from "./s3-read.ts";
import { verifyObject } from "./s3-verify.ts";

/** What a store in S3 needs. */
export interface S3StoreOptions extends S3Location {
  /** A folder of this machine for parts, made if it does not exist. Replicas that share a database may have one each. */
  readonly spoolDirectory: string;
  /** How old an upload is that nobody will end; default a day. */
  readonly abandonedAfterMs?: number;
  readonly log: Logger;
}

/** A store in S3. */
export interface S3Store extends BlobStore {
  /** Throws away uploads that were left behind; answers how many. */
  abortAbandoned(): Promise<number>;
  /** Ends its connections. */
  close(): void;
}

const CHECK_TIMEOUT_MS = 5_000;
const RANGE_NOT_SATISFIABLE = 416;

/**
 * Opens the store in a bucket, laid out as on a disk: `blobs/sha256/ab/<hex>` and `quarantine/` below the prefix. Parts grow
 * in a folder of this machine. A bucket that cannot be reached now may come later.
 *
 * @throws DomainError STATE_INVALID if the bucket does not exist or does not let us in, STORE_UNAVAILABLE or DISK_FULL if the
 * folder can be neither found nor made.
 */
export async function createS3Store({ spoolDirectory, log, ...options }: S3StoreOptions): Promise<S3Store> {
  const spool = resolve(spoolDirectory);
  await onDisk(() => mkdir(spool, { recursive: true, mode: FOLDER_MODE }));
  const s3 = openS3Bucket(options);
  await assertUsable(s3, log);
  const hasher = new FileHasher();
  const abandoned = () => abortAbandoned(s3, options.abandonedAfterMs ?? ABANDONED_AFTER_MS, log);
  return {
    spoolDirectory: spool,
    stat: (digest) =>
      onBucket(async () => {
        const found = await lookAt(s3, s3.keyOf(digest));
        return found && { size: found.ContentLength ?? 0 };
      }),
    commit: (digest, path) => onBucket(() => commitFile(s3, hasher, digest, path)),
    read: (digest, range) => onBucket(() => readBlob(s3, digest, range)),
    remove: (digest) => onBucket(() => removeObject(s3, s3.keyOf(digest))),
    verify: (digest, verify) => onBucket(() => verifyObject(s3, digest, verify), verify.signal),
    quarantine: (digest, check) => onBucket(() => quarantineObject(s3, digest, check)),
    emptyQuarantine: (ageMs, dryRun) =>
      onBucket(async () => {
        if (!dryRun) await abandoned();
        return emptyQuarantinedObjects(s3, ageMs, dryRun);
      }),
    space: async () => ({}),
    spoolSpace: () =>
      onDisk(async () => {
        const { bsize, blocks, bavail } = await statfs(spool);
        return { capacityBytes: blocks * bsize, freeBytes: bavail * bsize };
      }),
    async check() {
      await onDisk(() => access(spool, constants.W_OK | constants.X_OK));
      await onBucket(() => headBucket(s3));
    },
    abortAbandoned: abandoned,
    close: () => s3.client.destroy(),
  };
}

async function headBucket({ client, bucket }: S3Bucket): Promise<void> {
  const abortSignal = AbortSignal.timeout(CHECK_TIMEOUT_MS);
  await client.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal });
}

/** What an operator has to mend is an error at once; what may pass is only told. */
async function assertUsable(s3: S3Bucket, log: Logger): Promise<void> {
  try {
    await headBucket(s3);
  } catch (cause) {
    const status = statusOf(cause);
    const problem =
      (status !== undefined && PROBLEMS[status]) || (isWithoutCredentials(cause) ? NO_CREDENTIALS : undefined);
    if (problem !== undefined) throw new DomainError("STATE_INVALID", problem, { cause });
    log.warn("the store's bucket cannot be reached yet", { error: cause });
  }
}

const NO_CREDENTIALS = "there are no credentials for it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

const PROBLEMS: Readonly<Record<number, string>> = {
  301: "the bucket is in another region: set MODEL_MANAGER_STORE_REGION",
  400: "the server refuses to be asked for the bucket: is MODEL_MANAGER_STORE_REGION right?",
  401: "the bucket may not be used with the credentials given",
  403: "the bucket may not be used with the credentials given",
  404: "there is no such bucket",
};

function isWithoutCredentials(error: unknown): boolean {
  return error instanceof Error && error.name === "CredentialsProviderError";
}

async function readBlob(s3: S3Bucket, digest: Digest, range?: ByteRange): Promise<Readable> {
  if (range !== undefined && range.end <= range.start) {
    if ((await lookAt(s3, s3.keyOf(digest))) === undefined) throw notFound(digest);
    return Readable.from([]);
  }
  const closed = new AbortController();
  try {
    const { bytes } = await openObject(s3, s3.keyOf(digest), range, closed.signal);
    const body = Readable.from(bytes, { objectMode: false });
    // A reader that goes away must not keep the connection.
    return body.once("close", () => closed.abort());
  } catch (error) {
    if (statusOf(error) === RANGE_NOT_SATISFIABLE) return Readable.from([]);
    if (statusOf(error) === 404 && !(error instanceof NoSuchBucket)) throw notFound(digest);
    throw error;
  }
}

function notFound(digest: Digest): DomainError {
  return new DomainError("BLOB_NOT_FOUND", `blob not found: ${digest}`);
}
