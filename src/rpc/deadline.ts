/** The longest time that node's timers know, in milliseconds (24.8 days); longer ones fire at once. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Takes a time-out out of a call's headers that is too long for a timer: its client is willing to wait for ever. */
export function dropEndlessTimeout(headers: Headers): void {
  const [, grpc = "0", unit = "m"] = /^(\d{1,8})([HMSmun])$/.exec(headers.get("grpc-timeout") ?? "") ?? [];
  if (Number(grpc) * (UNIT_MS[unit] ?? 0) > MAX_TIMEOUT_MS) headers.delete("grpc-timeout");
  const [connect = "0"] = /^\d{1,10}$/.exec(headers.get("connect-timeout-ms") ?? "") ?? [];
  if (Number(connect) > MAX_TIMEOUT_MS) headers.delete("connect-timeout-ms");
}
