import type { Command } from "commander";
import { StorageSchema } from "../../gen/modelmanager/v1/storage_pb.ts";
import { withClient } from "./connection.ts";
import { formatStorage } from "./format/storage.ts";
import { messageJson, print, printJson } from "./output.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

/** Adds `du`: tells how the store is used. */
export function addDu(program: Command): void {
  const command = program
    .command("du")
    .summary("tell how the store is used")
    .description("Tells how the bytes of the store are used, and what a collection could free.");
  withServiceOptions(command).action(du);
}

async function du(options: ServiceOptions): Promise<void> {
  const { storage } = await withClient(options, (client) => client.models.getStorage({}));
  if (storage === undefined) return;
  if (options.json) printJson({ storage: messageJson(StorageSchema, storage) });
  else print(formatStorage(storage));
}
