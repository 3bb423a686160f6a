import { rm } from "node:fs/promises";
import { compose } from "../../src/compose.ts";
import { readConfig } from "../../src/config.ts";
import type { Logger } from "../../src/domain/logger.ts";
import { createDataFolder } from "./data-folder.ts";

/** The whole service in this process, with a database and a store of its own. */
export interface TestService {
  readonly url: string;
  /** Host and port. */
  readonly address: string;
  readonly data: string;
  stop(): Promise<void>;
}

/** A log that nobody reads. */
export const silentLog: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
};

/** Starts the service on a free port; sources may reach loopback. `environment` is read as the operator's. */
export async function startTestService(environment: Record<string, string> = {}): Promise<TestService> {
  const data = await createDataFolder();
  const { config } = readConfig({
    MODEL_MANAGER_DATA: data,
    MODEL_MANAGER_PORT: "0",
    MODEL_MANAGER_ALLOW_NETWORKS: "127.0.0.0/8,::1/128",
    MODEL_MANAGER_SHUTDOWN_GRACE: "2s",
    MODEL_MANAGER_HEADROOM: "0",
    ...environment,
  });
  const service = await compose(config, silentLog);
  const { url } = await service.start();
  return {
    url,
    address: new URL(url).host,
    data,
    async stop() {
      await service.stop(config.shutdownGraceMs);
      await rm(data, { recursive: true, force: true });
    },
  };
}
