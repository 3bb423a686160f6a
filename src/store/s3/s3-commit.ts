import { createHash } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { CompleteMultipartUploadCommand, PutObjectCommand, UploadPartCommand } from "@aws-sdk/client-s3";
import { type Digest, digestOfHex } from "../../domain/digest.ts";
import { DomainError } from "../../domain/errors.ts";
import type { FileHasher } from "../../lib/hashing/file-hasher.ts";
import { isMissing } from "../../lib/system-error.ts";
import { type S3Bucket, statusOf } from "./s3-bucket.ts";
import { lookAt } from "./s3-look.ts";
import { uploadInParts } from "./s3-parts.ts";
import { hashObject } from "./s3-verify.ts";

/** A file of up to so many bytes goes in one request; parts of larger ones are of this size at least. */
const PART_BYTES = 8 << 20;
const MOST_PARTS = 10_000;

const never = new AbortController().signal;

/**
 * Makes a local file a blob; see `BlobStore.commit`. Its bytes are hashed once more on their way, for they may have lain on
 * the disk for long; CONTENT_MISMATCH if they are others. What is there already is read: it stays if it is the blob, so that
 * nobody's reading is disturbed, and is replaced if it is not.
 */
export async function commitFile(s3: S3Bucket, hasher: FileHasher, digest: Digest, path: string): Promise<void> {
  const handle = await open(path, "r").catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (handle === undefined) {
    // Committed before, and the answer was lost.
    if ((await lookAt(s3, s3.keyOf(digest))) !== undefined) return;
    throw new DomainError("STORE_UNAVAILABLE", "the file of a blob is not in the spool folder");
  }
  await using _ = handle;
  const isThere = await isSomethingThere(s3, digest);
  if (isThere && (await isIntact(s3, digest))) return await rm(path, { force: true });
  const source = { handle, size: (await handle.stat()).size, digest, key: s3.keyOf(digest) };
  try {
    await upload(s3, hasher, source, !isThere);
  } catch (error) {
    if (!isTaken(error)) throw error;
    // Somebody was faster, with the blob or with something else.
    if (!(await isIntact(s3, digest))) await upload(s3, hasher, source, false);
  }
  await rm(path, { force: true });
}

interface Source {
  readonly handle: FileHandle;
  readonly size: number;
  readonly digest: Digest;
  readonly key: string;
}

/** Uploads a file; with `onlyNew` it fails with what {@link isTaken} knows if something has the key by then. */
async function upload(s3: S3Bucket, hasher: FileHasher, source: Source, onlyNew: boolean): Promise<void> {
  const { handle, size, digest, key } = source;
  const place = { Bucket: s3.bucket, Key: key };
  if (size <= PART_BYTES) {
    const release = await s3.slots.acquire();
    try {
      const Body = await readPart(handle, 0, size);
      assertDigest(digest, createHash("sha256").update(Body).digest("hex"));
      await conditionally(onlyNew, (IfNoneMatch) =>
        s3.client.send(new PutObjectCommand({ ...place, Body, IfNoneMatch })),
      );
    } finally {
      release();
    }
    return;
  }
  await uploadInParts(s3, {
    key,
    size,
    partBytes: Math.max(PART_BYTES, Math.ceil(size / MOST_PARTS)),
    async bring(target, { start, end }, signal) {
      const release = await s3.slots.acquire(signal);
      try {
        const Body = await readPart(handle, start, end - start);
        const command = new UploadPartCommand({ ...target, Body });
        return (await s3.client.send(command, { abortSignal: signal })).ETag;
      } finally {
        release();
      }
    },
    check: async (signal) => assertDigest(digest, (await hasher.hashOf(handle, { signal })).hex),
    async complete(target, Parts) {
      await conditionally(onlyNew, (IfNoneMatch) =>
        s3.client.send(new CompleteMultipartUploadCommand({ ...target, MultipartUpload: { Parts }, IfNoneMatch })),
      );
    },
  });
}

/** Writes on condition that nothing has the key; without it where the server has no conditions. */
async function conditionally(onlyNew: boolean, write: (condition?: string) => Promise<unknown>): Promise<void> {
  try {
    await write(onlyNew ? "*" : undefined);
  } catch (error) {
    if (!onlyNew || statusOf(error) !== 501) throw error;
    await write();
  }
}

/** Whether a conditional write found something: before it, or at the same time. */
function isTaken(error: unknown): boolean {
  return statusOf(error) === 412 || statusOf(error) === 409;
}

async function isSomethingThere(s3: S3Bucket, digest: Digest): Promise<boolean> {
  return (await lookAt(s3, s3.keyOf(digest))) !== undefined;
}

async function isIntact(s3: S3Bucket, digest: Digest): Promise<boolean> {
  return (await hashObject(s3, digest, { signal: never })).found === "intact";
}

async function readPart(handle: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) throw new DomainError("STORE_UNAVAILABLE", "the file of a blob became shorter");
    done += bytesRead;
  }
  return buffer;
}

function assertDigest(digest: Digest, hex: string): void {
  if (digestOfHex(hex) === digest) return;
  throw new DomainError("CONTENT_MISMATCH", `the bytes that were spooled for the blob ${digest} are others by now`);
}
