/** Bytes of a file from `start` to before `end`. */
export interface Extent {
  start: number;
  end: number;
}

/** How many bytes stand in more than one of the extents, once for each time beyond the first. */
export function bytesTwice(extents: readonly Extent[]): number {
  let twice = 0;
  let covered = 0;
  for (const { start, end } of [...extents].sort((a, b) => a.start - b.start)) {
    twice += Math.max(0, Math.min(end, covered) - start);
    covered = Math.max(covered, end);
  }
  return twice;
}
