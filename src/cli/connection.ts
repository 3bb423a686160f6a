import {
  createModelManagerClient,
  type ModelManagerClient,
  type ModelManagerClientOptions,
} from "../client/connect.ts";
import { DEFAULT_SERVER } from "../config/default-server.ts";
import { callError } from "./call-error.ts";
import { CliError } from "./cli-error.ts";
import { readClientTls } from "./client-tls.ts";
import { EXIT } from "./exit-codes.ts";
import { parseServer, type ServiceOptions } from "./service-options.ts";

/** Where the service is, and what proves to it who calls. */
export interface ServiceAddress {
  /** Scheme, host and port. */
  readonly server: string;
  /** The bearer token. */
  readonly token?: string;
  readonly tls: ModelManagerClientOptions["tls"];
}

/** The address that these options and the environment name. */
function serverOf(options: Pick<ServiceOptions, "server">): string {
  if (options.server !== undefined) return options.server;
  const text = process.env.MODEL_MANAGER_SERVER?.trim();
  if (!text) return DEFAULT_SERVER;
  try {
    return parseServer(text);
  } catch {
    throw new CliError(EXIT.usage, "MODEL_MANAGER_SERVER: must be an http or https URL, such as http://127.0.0.1:8085");
  }
}

/**
 * Calls `use` with a client of the service, and the address for what goes by HTTP; ends the connection afterwards.
 *
 * @throws CliError for what the service or the network refuses.
 */
export async function withClient<Result>(
  options: ServiceOptions,
  use: (client: ModelManagerClient, address: ServiceAddress) => Promise<Result>,
): Promise<Result> {
  const token = options.token ?? (process.env.MODEL_MANAGER_TOKEN?.trim() || undefined);
  const server = serverOf(options);
  const tls = readClientTls(options);
  const client = createModelManagerClient(server, { token, tls });
  try {
    return await use(client, { server, token, tls });
  } catch (error) {
    throw callError(error, server);
  } finally {
    client.close();
  }
}
