import { createHash } from "node:crypto";
import { NoSuchBucket } from "@aws-sdk/client-s3";
import { type Digest, digestOfHex } from "../../domain/digest.ts";
import type { BlobCheck, VerifyOptions } from "../../domain/ports/blob-store.ts";
import { type S3Bucket, statusOf } from "./s3-bucket.ts";
import { assertInUse, identityOf } from "./s3-look.ts";
import { type OpenedObject, openObject } from "./s3-read.ts";

const STEP_BYTES = 4 << 20;

/** Reads a blob's object again; see `BlobStore.verify`. */
export async function verifyObject(s3: S3Bucket, digest: Digest, options: VerifyOptions): Promise<BlobCheck> {
  const check = await hashObject(s3, digest, options);
  if (check.found === "missing") await assertInUse(s3);
  return check;
}

/** The same without a doubt about the store as a whole. The bytes are hashed in small pieces as they come from the network. */
export async function hashObject(s3: S3Bucket, digest: Digest, { signal, onRead }: VerifyOptions): Promise<BlobCheck> {
  // What is read no further must not keep its connection.
  const done = new AbortController();
  try {
    const opened = await openIfThere(s3, digest, AbortSignal.any([signal, done.signal]));
    if (opened === undefined) return { found: "missing" };
    const hash = createHash("sha256");
    let unheard = 0;
    let size = 0;
    for await (const chunk of opened.bytes) {
      signal.throwIfAborted();
      hash.update(chunk);
      size += chunk.length;
      unheard += chunk.length;
      if (unheard < STEP_BYTES) continue;
      await onRead?.(unheard);
      unheard = 0;
    }
    if (unheard > 0) await onRead?.(unheard);
    const isIntact = digestOfHex(hash.digest("hex")) === digest;
    return isIntact ? { found: "intact", size } : { found: "damaged", identity: identityOf(opened.head) };
  } finally {
    done.abort();
  }
}

async function openIfThere(s3: S3Bucket, digest: Digest, signal: AbortSignal): Promise<OpenedObject | undefined> {
  try {
    return await openObject(s3, s3.keyOf(digest), undefined, signal);
  } catch (error) {
    if (statusOf(error) === 404 && !(error instanceof NoSuchBucket)) return undefined;
    throw error;
  }
}
