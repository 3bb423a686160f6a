import { pipeline } from "node:stream/promises";
import { DomainError } from "../domain/errors.ts";
import type { BlobAdmissions } from "../domain/ports/blob-admissions.ts";
import type { BlobHandler } from "../domain/ports/blob-handlers.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import { anyResponse } from "../lib/http/answer.ts";
import { namesEtag, readRange } from "./content-parts.ts";

export interface SendOptions {
  readonly store: Pick<BlobStore, "stat" | "read">;
  readonly admissions: Pick<BlobAdmissions, "renew">;
}

/**
 * Answers GET and HEAD of a blob from the store: whole, or one range of it. The digest is the etag, and what it names never
 * changes, so that caches may keep it for ever. Who asks by HEAD may be about to count on the blob: it stays for a day.
 */
export function createSendHandler({ store, admissions }: SendOptions): BlobHandler {
  return async (digest, request, response) => {
    const { headers, method } = request;
    const found = await store.stat(digest);
    const isThere = method !== "HEAD" || (await admissions.renew([digest])).get(digest) === found?.size;
    if (found === undefined || !isThere) throw new DomainError("BLOB_NOT_FOUND", `blob not found: ${digest}`);
    const { size } = found;
    const out = anyResponse(response);
    const etag = `"${digest}"`;
    out.setHeader("etag", etag);
    out.setHeader("accept-ranges", "bytes");
    request.resume();
    if (namesEtag(headers["if-none-match"], etag)) {
      out.statusCode = 304;
      out.setHeader("cache-control", CACHING);
      out.end();
      return;
    }
    // Only of the same bytes can a client have the rest.
    const isSame = headers["if-range"] === undefined || headers["if-range"] === etag;
    const asked = method === "GET" && isSame ? readRange(headers.range, size) : "all";
    if (asked === "unsatisfiable") {
      out.setHeader("content-range", `bytes */${size}`);
      throw new DomainError("RANGE_NOT_SATISFIABLE", `the blob ends at byte ${size}`);
    }
    const range = asked === "all" ? { start: 0, end: size } : asked;
    const body = method === "HEAD" ? undefined : await store.read(digest, range);
    out.statusCode = asked === "all" ? 200 : 206;
    if (asked !== "all") out.setHeader("content-range", `bytes ${range.start}-${range.end - 1}/${size}`);
    out.setHeader("content-length", range.end - range.start);
    out.setHeader("content-type", "application/octet-stream");
    out.setHeader("cache-control", CACHING);
    out.setHeader("x-content-type-options", "nosniff");
    if (body === undefined) out.end();
    else await pipeline(body, response);
  };
}

const CACHING = "private, max-age=31536000, immutable";
