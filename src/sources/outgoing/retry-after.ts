import type { Headers } from "../../lib/http/validator.ts";

/** The longest that a source can ask to be left alone; what it asks beyond is not waited for. */
const MAX_MS = 5 * 60_000;

/**
 * How long an answer asks to wait, in milliseconds, at most five minutes: by Retry-After (seconds or a date), or else by
 * RateLimit, where a server says which of its limits is used up.
 */
export function retryAfterOf(headers: Headers): number | undefined {
  const ms = byRetryAfter(headers["retry-after"]) ?? byRateLimit(headers.ratelimit);
  return ms === undefined ? undefined : Math.min(Math.max(ms, 0), MAX_MS);
}

function byRetryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : ms;
}

/** Reads limits such as `"api";r=0;t=58`: nothing remains for 58 s. Of several, the longest wait counts. */
function byRateLimit(value = ""): number | undefined {
  const waits = value.split(",").flatMap((limit) => {
    const parameters = limit.split(";").map((part) => part.trim());
    const seconds = parameters.map((part) => /^t=(\d{1,9})$/.exec(part)?.[1]).find((digits) => digits !== undefined);
    return parameters.includes("r=0") && seconds !== undefined ? [Number(seconds)] : [];
  });
  return waits.length === 0 ? undefined : Math.max(...waits) * 1000;
}
