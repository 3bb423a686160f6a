import { GetObjectCommand, type GetObjectCommandOutput } from "@aws-sdk/client-s3";
import type { ByteRange } from "../../domain/ports/blob-store.ts";
import type { S3Bucket } from "./s3-bucket.ts";

/** So often in a row may a body break off without having brought anything. */
const PATIENCE = 3;

/** The bytes of an object, and what its first answer said of it. */
export interface OpenedObject {
  readonly head: GetObjectCommandOutput;
  readonly size: number;
  readonly bytes: AsyncGenerator<Uint8Array>;
}

/**
 * Opens an object or a range of it. A body that breaks off, as of a reader that takes its time, goes on where it was,
 * from the same object or not at all. Fails as the SDK does; the signal's end frees the connection.
 */
export async function openObject(
  s3: S3Bucket,
  key: string,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<OpenedObject> {
  const ask = (start: number, end: number | undefined, IfMatch?: string) => {
    const whole = start === 0 && end === undefined;
    const Range = whole ? undefined : `bytes=${start}-${end === undefined ? "" : end - 1}`;
    const command = new GetObjectCommand({ Bucket: s3.bucket, Key: key, Range, IfMatch });
    return s3.client.send(command, { abortSignal: signal });
  };
  const begin = range?.start ?? 0;
  const head = await ask(begin, range?.end);
  const size = head.ContentLength ?? 0;
  const end = begin + size;

  async function* read(): AsyncGenerator<Uint8Array> {
    let position = begin;
    let body = head.Body;
    for (let failures = 0; ; ) {
      const from = position;
      try {
        for await (const chunk of body as AsyncIterable<Uint8Array>) {
          position += chunk.length;
          yield chunk;
        }
        if (position >= end) return;
        throw new Error(`the body ended after ${position - begin} of ${size} bytes`);
      } catch (error) {
        failures = position > from ? 1 : failures + 1;
        if (signal.aborted || failures > PATIENCE) throw error;
      }
      body = (await ask(position, end, head.ETag)).Body;
    }
  }
  return { head, size, bytes: read() };
}
