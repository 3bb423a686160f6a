import type { ErrorDetails } from "../client/error-details.ts";
import type { ExitCode } from "./exit-codes.ts";
import { jsonText } from "./output.ts";

/** What a {@link CliError} says beside its message. */
export interface CliErrorOptions {
  /** What to do next. */
  readonly hint?: string;
  /** What the service said. */
  readonly details?: ErrorDetails;
}

/** A command cannot go on. The message says why, in a person's words. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: ExitCode;
  readonly hint?: string;
  readonly details?: ErrorDetails;

  constructor(exitCode: ExitCode, message: string, options: CliErrorOptions = {}) {
    super(message);
    this.exitCode = exitCode;
    this.hint = options.hint;
    this.details = options.details;
  }
}

/** Prints an error as text for people, or as one line of JSON for scripts. */
export function formatError({ message, hint, details, exitCode }: CliError, json: boolean): string {
  if (json) return `${jsonText({ error: { exitCode, ...details, message, hint } })}\n`;
  return `error: ${message}\n${hint === undefined ? "" : `  ${hint}\n`}`;
}
