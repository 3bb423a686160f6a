import { type Command, InvalidArgumentError } from "commander";
import { DEFAULT_SERVER } from "../config/default-server.ts";

/** What every command that talks to the service takes. */
export interface ServiceOptions {
  readonly server?: string;
  /** The service's bearer token. */
  readonly token?: string;
  /** PEM files: an authority to trust instead of the well-known ones, and the client's own certificate and key. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly json?: boolean;
}

/** Adds what {@link ServiceOptions} holds. */
export function withServiceOptions(command: Command): Command {
  return command
    .option("--server <url>", `where the service is (default: $MODEL_MANAGER_SERVER or ${DEFAULT_SERVER})`, parseServer)
    .option("--token <token>", "the service's bearer token (default: $MODEL_MANAGER_TOKEN)")
    .option("--ca <file>", "PEM: who signed the service's certificate (default: $MODEL_MANAGER_SERVER_CA)")
    .option("--cert <file>", "PEM: a certificate to show to the service (default: $MODEL_MANAGER_CLIENT_CERT)")
    .option("--key <file>", "PEM: the private key of --cert (default: $MODEL_MANAGER_CLIENT_KEY)")
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
