/** A place in S3: a bucket and what lies in it. */
export interface S3Place {
  readonly bucket: string;
  /** The key of an object, or the beginning of keys; empty for the whole bucket. */
  readonly key: string;
}

const URI = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/is;

/**
 * Reads `s3://bucket/key`. Undefined for anything else, and for keys with `.` or `..` between slashes: a URL cannot name
 * those.
 */
export function parseS3Uri(text: string): S3Place | undefined {
  const [, bucket, key = ""] = URI.exec(text) ?? [];
  if (bucket === undefined || bucket !== bucket.toLowerCase()) return undefined;
  return key.split("/").some((segment) => segment === "." || segment === "..") ? undefined : { bucket, key };
}
