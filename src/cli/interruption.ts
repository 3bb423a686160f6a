import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/**
 * Does work that Ctrl-C or SIGTERM stops by the signal that it gets.
 *
 * @throws CliError interrupted, with `hint` for what to do next.
 */
export async function untilInterrupted<Result>(
  hint: string,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  // Under npx one Ctrl-C comes twice: the second must not end the program before it has tidied up.
  for (const signal of SIGNALS) process.on(signal, interrupt);
  try {
    return await work(interruption.signal);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    throw new CliError(EXIT.interrupted, "interrupted", { hint });
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
}
