/** What a Content-Range says of a part: bytes `start` up to, not including, `end`, of `total` if it is said. */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly total?: number;
}

/** Reads a Content-Range of bytes; undefined if it is absent, malformed or contradicts itself. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const [, first, last, total] = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(header ?? "") ?? [];
  if (first === undefined || last === undefined || total === undefined) return undefined;
  const range = { start: Number(first), end: Number(last) + 1, total: total === "*" ? undefined : Number(total) };
  const isWhole = [range.start, range.end, range.total ?? 0].every(Number.isSafeInteger);
  if (!isWhole || range.start >= range.end || range.end > (range.total ?? range.end)) return undefined;
  return range;
}

/** Reads a Content-Length; undefined if it is absent or malformed. */
export function parseContentLength(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}
