import { relative } from "node:path";
import type { Command } from "commander";
import { DEFAULT_SERVER } from "../config/default-server.ts";
import type { Config } from "../config.ts";
import type { Logger } from "../domain/logger.ts";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";
import { print } from "./output.ts";
import { awaitStop } from "./stop-signal.ts";

/** What closing everything may take beyond the grace period of running calls. */
const STOP_MARGIN_MS = 5_000;

interface ServeOptions {
  readonly printConfig?: boolean;
}

/** Adds `serve`: runs the service until it is told to stop. */
export function addServe(program: Command): void {
  program
    .command("serve")
    .summary("run the service")
    .description(
      "Runs the service in the foreground until SIGTERM or Ctrl-C; a second one ends it at once. It is configured by " +
        "environment variables, in development also by a file .env in the working folder.",
    )
    .option("--print-config", "print the configuration with secrets redacted, and run nothing")
    .action(serve);
}

async function serve({ printConfig: printOnly }: ServeOptions): Promise<void> {
  const { readConfig, printConfig } = await import("../config.ts");
  const { config, warnings } = readConfig(process.env);
  if (printOnly) {
    print(printConfig(config));
    return;
  }
  const { createLogger } = await import("../telemetry/logger.ts");
  const log = createLogger(config.log);
  for (const warning of warnings) log.warn(warning);
  endOnUnexpected(log);
  await run(config, log);
}

async function run(config: Config, log: Logger): Promise<void> {
  const stop = awaitStop(log);
  try {
    const { compose } = await import("../compose.ts");
    const service = await compose(config, log);
    try {
      const { url } = await service.start();
      if (!stop.isAsked()) print(formatWelcome(url, config));
      await Promise.race([stop.asked, service.ready.then(() => stop.asked)]);
    } finally {
      endAfter(config.shutdownGraceMs + STOP_MARGIN_MS, log);
      await service.stop(config.shutdownGraceMs);
    }
    log.info("stopped");
  } catch (error) {
    throw runFailure(error, log);
  } finally {
    stop.forget();
  }
}

/** What the operator is told once the service listens. */
function formatWelcome(url: string, config: Pick<Config, "data" | "databaseUrl" | "token">): string {
  const data = relative(process.cwd(), config.data) || ".";
  const facts = [
    `data in ${data.startsWith("..") ? config.data : data}`,
    `database ${config.databaseUrl === undefined ? "embedded" : "external"}`,
    ...(config.token === undefined ? [] : ["calls need the token"]),
  ];
  const server = url === DEFAULT_SERVER ? "" : ` --server ${url}`;
  return [
    `model manager listens on ${url}`,
    `  ${facts.join(", ")}`,
    "try",
    `  npx model-manager pull hf:Qwen/Qwen2.5-0.5B-Instruct${server}`,
    `  npx model-manager ls${server}`,
    `  curl ${url}/health`,
  ].join("\n");
}

/** Errors whose message is for the operator. */
const PLAIN_ERRORS: readonly string[] = ["DomainError", "ListenError", "ConfigError", "DatabaseSetupError"];

/** A failure that an operator can mend is told in its own words; what is behind it, and all others, go to the log. */
function runFailure(error: unknown, log: Logger): CliError {
  const plain = error instanceof Error && PLAIN_ERRORS.includes(error.name);
  if (!plain || error.cause !== undefined) log.error("the service ended with an error", { error });
  return new CliError(EXIT.failure, error instanceof Error ? error.message : String(error));
}

/** Whatever still hangs then is cut off; it keeps nothing alive by itself. */
function endAfter(ms: number, log: Logger): void {
  const end = () => {
    log.error("stopping took too long: the process is ended");
    setImmediate(() => process.exit(EXIT.failure));
  };
  setTimeout(end, ms).unref();
}

/** After an error that nobody expected nothing can be relied on. */
function endOnUnexpected(log: Logger): void {
  process.on("uncaughtException", (error, origin) => {
    log.error("an unexpected error ends the process", { error, origin });
    // Lets the line reach its stream.
    setImmediate(() => process.exit(EXIT.failure));
  });
}
