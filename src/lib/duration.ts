const UNITS = [
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
] as const;

const MS_OF_UNIT: ReadonlyMap<string, number> = new Map(UNITS);

const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/;
const PART = /(\d+(?:\.\d+)?)(ms|s|m|h)/g;

/**
 * Reads a duration such as `500ms`, `30s`, `5m`, `1h` or `1h30m` as whole milliseconds.
 *
 * @throws Error whose message is the rule: what is accepted.
 */
export function parseDuration(text: string): number {
  const trimmed = text.trim();
  if (DURATION.test(trimmed)) {
    let total = 0;
    for (const [, amount, unit = ""] of trimmed.matchAll(PART)) total += Number(amount) * (MS_OF_UNIT.get(unit) ?? 0);
    const ms = Math.round(total);
    if (Number.isSafeInteger(ms)) return ms;
  }
  throw new Error("must be a duration with its unit, such as 500ms, 30s, 5m or 1h");
}

/** Prints whole milliseconds as {@link parseDuration} reads them: `500ms`, `30s`, `1h30m`. */
export function formatDuration(ms: number): string {
  let left = Math.max(0, Math.round(ms));
  if (left === 0) return "0s";
  let text = "";
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    if (count > 0) text += `${count}${unit}`;
    left -= count * size;
  }
  return text;
}

/**
 * Prints a duration for people, as exactly as its length deserves: `0.4s`, `12s`, `3m05s`, `2h10m`, `4d03h`.
 * Negative and unknown times are printed as `-`.
 */
export function humanDuration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return "-";
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const pair = (high: number, highUnit: string, low: number, lowUnit: string) =>
    `${high}${highUnit}${String(low).padStart(2, "0")}${lowUnit}`;
  if (seconds < 3_600) return pair(Math.floor(seconds / 60), "m", seconds % 60, "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return pair(Math.floor(minutes / 60), "h", minutes % 60, "m");
  const hours = Math.round(minutes / 60);
  return pair(Math.floor(hours / 24), "d", hours % 24, "h");
}
