import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { humanDuration } from "../../lib/duration.ts";

/** What is known of an enumeration, as generated code describes it. */
interface EnumDescription {
  readonly value: Readonly<Record<number, { readonly localName: string }>>;
}

/** The name of an enumeration's value without its prefix; empty for the zero value, the number for a newer one. */
export function enumName(description: EnumDescription, value: number): string {
  if (value === 0) return "";
  return description.value[value]?.localName ?? String(value);
}

/** How long ago a time was: `12s ago`, `3h05m ago`; empty without one. */
export function ago(time: Timestamp | undefined, now: Date): string {
  if (time === undefined) return "";
  const ms = now.getTime() - timestampDate(time).getTime();
  return ms < 1_000 ? "just now" : `${humanDuration(ms).replace(/\.\d(?=s$)/, "")} ago`;
}

/** A time with how long ago it was. */
export function timeAndAge(time: Timestamp | undefined, now: Date): string {
  return time === undefined ? "" : `${timestampDate(time).toISOString()} (${ago(time, now)})`;
}

/** `a=1, b=2`, sorted by key. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(", ");
}

/** `1 file`, `3 files`. */
export function counted(count: number | bigint, noun: string): string {
  return `${count} ${noun}${Number(count) === 1 ? "" : "s"}`;
}
