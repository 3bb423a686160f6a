import { readFileSync } from "node:fs";
import type { ModelManagerClientOptions } from "../client/connect.ts";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";
import type { ServiceOptions } from "./service-options.ts";

/**
 * Reads the PEM files that these options or else the environment name.
 *
 * @throws CliError if one cannot be read, or if of certificate and key one is missing.
 */
export function readClientTls(options: Pick<ServiceOptions, "ca" | "cert" | "key">): ModelManagerClientOptions["tls"] {
  const tls = {
    ca: readPem("--ca", options.ca, "MODEL_MANAGER_SERVER_CA"),
    cert: readPem("--cert", options.cert, "MODEL_MANAGER_CLIENT_CERT"),
    key: readPem("--key", options.key, "MODEL_MANAGER_CLIENT_KEY"),
  };
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    throw new CliError(EXIT.usage, "a certificate and its key go together", { hint: "give both --cert and --key" });
  }
  return tls;
}

function readPem(option: string, given: string | undefined, variable: string): Buffer | undefined {
  const file = given ?? (process.env[variable]?.trim() || undefined);
  if (file === undefined) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    const name = given === undefined ? variable : option;
    throw new CliError(EXIT.usage, `${name}: ${file}: ${error instanceof Error ? error.message : error}`);
  }
}
