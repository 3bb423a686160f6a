import { CommanderError } from "commander";
import { ConfigError } from "../config/config-error.ts";
import { loadDotEnv } from "../config/dotenv.ts";
import { CliError, formatError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";
import { tell } from "./output.ts";
import { createProgram } from "./program.ts";

/** Runs a command line and answers its exit code; what went wrong is told on the standard error output. */
export async function run(argv: readonly string[]): Promise<number> {
  process.stdout.on("error", endOfReader);
  try {
    loadDotEnv();
    await createProgram().parseAsync([...argv]);
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    // Commander has said it already; help and version come this way too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const failure = asCliError(error);
    tell(formatError(failure, argv.includes("--json")));
    return failure.exitCode;
  }
}

function asCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (error instanceof ConfigError) return new CliError(EXIT.usage, error.message);
  return new CliError(EXIT.failure, error instanceof Error ? error.message : String(error));
}

/** Whoever read the output has enough, as `head` does. */
function endOfReader(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit(EXIT.ok);
  throw error;
}
