import { DomainError } from "../../domain/errors.ts";
import { networkFailure } from "../outgoing/failures.ts";
import type { HttpAnswer } from "../outgoing/http-client.ts";

interface ReadOptions {
  /** The most bytes that it may have. */
  readonly most: number;
  /** What was asked for, as messages name it. */
  readonly subject: string;
  readonly signal: AbortSignal;
}

/** Reads a body into memory; SOURCE_UNAVAILABLE without hope if it is too large. */
export async function readBody({ body }: HttpAnswer, { most, subject, signal }: ReadOptions): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > most) throw new DomainError("SOURCE_UNAVAILABLE", `${subject} answers with more than ${most} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw networkFailure(error, subject);
  }
  return Buffer.concat(chunks);
}

/** Reads a body as JSON; undefined if it is none. */
export async function readJson(answer: HttpAnswer, options: ReadOptions): Promise<unknown> {
  return parseJson(await readBody(answer, options));
}

/** Reads bytes as JSON; undefined if they are none. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}
