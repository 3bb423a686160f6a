import { rm } from "node:fs/promises";
import { type FaultCase, type FaultContext, Skipped } from "./fault-case.ts";

/** How a case ended, and the line that tells it. */
export interface CaseResult {
  readonly outcome: "passed" | "failed" | "skipped";
  readonly line: string;
}

/** Runs a case within its time, ends whatever it started and removes its folder. Never throws. */
export async function runCase(fault: FaultCase, context: FaultContext): Promise<CaseResult> {
  const startedAt = performance.now();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`not done within ${fault.timeoutMs / 1000} s`)),
    fault.timeoutMs,
  );
  const tell = (outcome: CaseResult["outcome"], what: string): CaseResult => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    return { outcome, line: `${outcome.padEnd(7)}  ${fault.name} (${seconds} s): ${what}` };
  };
  try {
    return tell("passed", await Promise.race([fault.run(context), late.promise]));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return error instanceof Skipped ? tell("skipped", message) : tell("failed", message);
  } finally {
    clearTimeout(timer);
    await context.opened.disposeAsync();
    await rm(context.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
