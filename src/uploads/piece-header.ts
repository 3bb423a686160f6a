import { invalidField } from "../domain/errors.ts";
import { parseContentLength, parseContentRange } from "../lib/http/content-range.ts";
import type { Piece } from "./blob-uploads.ts";

/** What the head of a PUT says: that it carries a piece, or that it asks how far the upload of `total` bytes is. */
export type PieceHeader = { readonly piece: Piece } | { readonly total: number };

/**
 * Reads the head of a PUT: without Content-Range the body is the whole blob; `bytes a-b/total` is a piece of it; `bytes *\/total`
 * with an empty body is the question.
 *
 * @throws DomainError FIELD_INVALID for anything else, or if Content-Length says otherwise.
 */
export function readPieceHeader(headers: { "content-range"?: string; "content-length"?: string }): PieceHeader {
  const text = headers["content-range"];
  const length = parseContentLength(headers["content-length"]);
  if (text === undefined) return { piece: { goesOn: false, start: 0, total: length } };
  const [, asked] = /^bytes \*\/(\d{1,15})$/.exec(text) ?? [];
  if (asked !== undefined) {
    if (length !== undefined && length > 0) throw invalidField("content-range", "must say which bytes the body is");
    return { total: Number(asked) };
  }
  const range = parseContentRange(text);
  if (range?.total === undefined) {
    throw invalidField(
      "content-range",
      "must be 'bytes <first>-<last>/<total>', or 'bytes */<total>' with an empty body",
    );
  }
  const { start, end, total } = range;
  if (length !== undefined && length !== end - start) {
    throw invalidField("content-range", `must agree with the content-length of ${length} bytes`);
  }
  return { piece: { goesOn: true, start, end, total } };
}
