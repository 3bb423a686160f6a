import type { Command } from "commander";
import { withClient } from "./connection.ts";
import { printJson, tell } from "./output.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

interface RmOptions extends ServiceOptions {
  readonly force?: boolean;
}

/** Adds `rm`: deletes a model. */
export function addRm(program: Command): void {
  const command = program
    .command("rm")
    .summary("delete a model")
    .description("Deletes a model with its versions and aliases. Refused while a download or a worker needs it.")
    .argument("<model>", "the model's id")
    .option("-f, --force", "cancel its downloads and remove its assignments first");
  withServiceOptions(command).action(rm);
}

async function rm(modelId: string, options: RmOptions): Promise<void> {
  await withClient(options, (client) => client.models.deleteModel({ modelId, force: options.force }));
  if (options.json) printJson({ deleted: modelId });
  else tell(`deleted ${modelId}`);
}
