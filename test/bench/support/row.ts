/** What a ratio should be. */
export type Target = { readonly atMost: number } | { readonly atLeast: number };

/** A line of a bench's table. */
export interface Row {
  readonly what: string;
  readonly ours: string;
  /** What ours is compared with; absent for a bound without a peer. */
  readonly peer?: string;
  /** Absent if it could not be measured. */
  readonly ratio?: number;
  /** How `ratio` is told; default with two decimals. */
  readonly unit?: "MiB";
  /** Absent for a line that is only to be known. */
  readonly target?: Target;
}

const MIB = 1024 ** 2;

export const seconds = (value: number): string => `${value.toFixed(2)} s`;
export const rate = (bytesPerSecond: number): string => `${(bytesPerSecond / MIB).toFixed(0)} MiB/s`;

/** Our time as a share of a peer's. */
export function shareOfTime(what: string, ours: number, peer: number, atMost?: number): Row {
  const target = atMost === undefined ? undefined : { atMost };
  return { what, ours: seconds(ours), peer: seconds(peer), ratio: ours / peer, target };
}

/** How many times faster than a peer we are. */
export function timesFaster(what: string, ours: number, peer: number, atLeast?: number): Row {
  const target = atLeast === undefined ? undefined : { atLeast };
  return { what, ours: seconds(ours), peer: seconds(peer), ratio: peer / ours, target };
}

/** Our speed as a share of another one, both in bytes a second. */
export function shareOfRate(what: string, ours: number, peer: number, atLeast: number): Row {
  return { what, ours: rate(ours), peer: rate(peer), ratio: ours / peer, target: { atLeast } };
}

/** Bytes that must stay below a bound; `undefined` where they cannot be measured. */
export function boundedBytes(what: string, bytes: number | undefined, atMostMiB: number): Row {
  if (bytes === undefined) return { what, ours: "cannot be told here" };
  const mebibytes = bytes / MIB;
  return { what, ours: `${mebibytes.toFixed(1)} MiB`, ratio: mebibytes, unit: "MiB", target: { atMost: atMostMiB } };
}

/** Whether a row is as it should be; undefined if it has nothing to be held against. */
export function isReached({ ratio, target }: Row): boolean | undefined {
  if (target === undefined || ratio === undefined) return undefined;
  return "atMost" in target ? ratio <= target.atMost : ratio >= target.atLeast;
}
