import { formatBytes, parseBytes } from "./bytes.ts";

/** An amount of bytes, said as such or as a share of a whole. */
export type Portion = { readonly bytes: number } | { readonly percent: number };

const PERCENT = /^(\d+(?:\.\d+)?)\s*%$/;

/**
 * Reads a portion such as `512MiB` or `3%`.
 *
 * @throws Error whose message is the rule: what is accepted.
 */
export function parsePortion(text: string): Portion {
  const [, percent] = PERCENT.exec(text.trim()) ?? [];
  if (percent !== undefined && Number(percent) <= 100) return { percent: Number(percent) };
  try {
    return { bytes: parseBytes(text) };
  } catch {
    throw new Error("must be a size such as 512MiB, or a share of the whole from 0% to 100%");
  }
}

/** Prints a portion as {@link parsePortion} reads it. */
export function formatPortion(portion: Portion): string {
  return "percent" in portion ? `${portion.percent}%` : formatBytes(portion.bytes);
}

/** The bytes that a portion of `whole` bytes is; whole bytes, rounded up. */
export function portionOf(portion: Portion, whole: number): number {
  return "percent" in portion ? Math.ceil((whole * portion.percent) / 100) : portion.bytes;
}
