import { type Command, InvalidArgumentError } from "commander";
import { DEFAULT_SERVER } from "../config/default-server.ts";

/** What every command that talks to the service takes. */
export interface ServiceOptions {
  readonly server?: string;
  /** The service's bearer token. */
  readonly token?: string;
  readonly json?: boolean;
}

/** Adds `--server`, `--token` (by another name for a command whose `--token` is for something else) and `--json`. */
export function withServiceOptions(command: Command, tokenOption = "--token"): Command {
  return command
    .option("--server <url>", `where the service is (default: $MODEL_MANAGER_SERVER or ${DEFAULT_SERVER})`, parseServer)
    .option("--json", "print JSON for scripts")
    .option(`${tokenOption} <token>`, "the service's bearer token (default: $MODEL_MANAGER_TOKEN)");
}

/** Reads the address of a service; one without a scheme is taken as http. */
export function parseServer(text: string): string {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new InvalidArgumentError("It must be an http or https URL, such as http://127.0.0.1:8085.");
  }
  return url.replace(/\/+$/, "");
}
