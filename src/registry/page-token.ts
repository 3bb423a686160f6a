import { createHash } from "node:crypto";
import { DomainError } from "../domain/errors.ts";

/** A value of a page's key: a text, a whole number, or a time as milliseconds. */
export type KeyValue = string | number;

/** Where a page ended, and what was counted with the first one. */
export interface PagePosition {
  /** The key of the last item. */
  readonly key: readonly KeyValue[];
  readonly counts: Readonly<Record<string, number>>;
}

const CHECK_BYTES = 12;

/** Makes a token that goes on after `position`, for the same `query` alone. */
export function encodePageToken(query: unknown, position: PagePosition): string {
  const payload = Buffer.from(JSON.stringify([position.key, position.counts]));
  return Buffer.concat([checkOf(query, payload), payload]).toString("base64url");
}

/** Reads a token that {@link encodePageToken} made for the same query; PAGE_TOKEN_INVALID for anything else. */
export function decodePageToken(query: unknown, token: string): PagePosition {
  const bytes = Buffer.from(token, "base64url");
  const payload = bytes.subarray(CHECK_BYTES);
  const ours = bytes.toString("base64url") === token && bytes.subarray(0, CHECK_BYTES).equals(checkOf(query, payload));
  if (!ours) {
    const description = "must come from the last answer to the same query";
    throw new DomainError("PAGE_TOKEN_INVALID", `page_token: ${description}`, {
      violations: [{ field: "page_token", description }],
    });
  }
  const [key, counts] = JSON.parse(payload.toString());
  return { key, counts };
}

/** Ties a token to its query and its bytes to each other. No secret: a token gives no right to anything. */
function checkOf(query: unknown, payload: Buffer): Buffer {
  const hash = createHash("sha256").update(JSON.stringify(query)).update("\0").update(payload).digest();
  return hash.subarray(0, CHECK_BYTES);
}
