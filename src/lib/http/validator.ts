/** Headers by their lower-case names. */
export type Headers = Readonly<Record<string, string | undefined>>;

/** Of characters that can be sent back in a header. */
const STRONG_ETAG = /^"[\x20-\x7e]*"$/;

/**
 * What If-Range can pin an object by: a strong etag, else a date that is older than the answer by a second at least, since
 * within one the object may be written again (RFC 9110, 8.8.2.2). Undefined if there is nothing of the kind.
 */
export function validatorOf({ etag, date = "", "last-modified": modified = "" }: Headers): string | undefined {
  if (etag !== undefined && STRONG_ETAG.test(etag)) return etag;
  return Date.parse(date) - Date.parse(modified) >= 1000 ? modified : undefined;
}
