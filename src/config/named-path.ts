import { isDomainError } from "../domain/errors.ts";
import { ConfigError } from "./config-error.ts";
import type { VariableName } from "./variables.ts";

/**
 * Opens what stands at the path that a variable names.
 *
 * @throws ConfigError with the variable, the path and what the system said of it, or that another process has it, or what
 * else an operator has to mend; any other failure as it is.
 */
export async function openNamedPath<Result>(
  variable: VariableName,
  path: string,
  open: () => Promise<Result>,
): Promise<Result> {
  try {
    return await open();
  } catch (error) {
    const reason = systemMessage(error);
    const isRefusal = isDomainError(error, "RESOURCE_IN_USE") || isDomainError(error, "STATE_INVALID");
    if (!(error instanceof Error) || (reason === undefined && !isRefusal)) throw error;
    const words = reason === undefined || reason === error.message ? [error.message] : [error.message, reason];
    throw new ConfigError([{ variable, rule: [path, ...words].join(": ") }], { cause: error });
  }
}

/** What the operating system said, such as `EACCES: permission denied, mkdir '/data'`, wherever that is behind an error. */
function systemMessage(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return "syscall" in error ? error.message : systemMessage(error.cause);
}
