import { type Command, InvalidArgumentError } from "commander";
import { DEFAULT_SERVER } from "../config/default-server.ts";

/** What every command that talks to the service takes. */
export interface ServiceOptions {
  readonly server?: string;
  /** The service's bearer token. */
  readonly serverToken?: string;
  readonly token?: string;
  readonly json?: boolean;
}

/** Adds `--server`, `--token` and `--json` to a command. */
export function withServiceOptions(command: Command): Command {
  return withServer(command).option("--token <token>", "the service's bearer token (default: $MODEL_MANAGER_TOKEN)");
}

/** The same for a command whose `--token` is for something else: there the service's is `--server-token`. */
export function withServerTokenOptions(command: Command): Command {
  return withServer(command).option(
    "--server-token <token>",
    "the service's bearer token (default: $MODEL_MANAGER_TOKEN)",
  );
}

function withServer(command: Command): Command {
  return command
    .option("--server <url>", `where the service is (default: $MODEL_MANAGER_SERVER or ${DEFAULT_SERVER})`, parseServer)
    .option("--json", "print JSON for scripts");
}

/** Reads the address of a service; one without a scheme is taken as http. */
export function parseServer(text: string): string {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new InvalidArgumentError("It must be an http or https URL, such as http://127.0.0.1:8085.");
  }
  return url.replace(/\/+$/, "");
}
