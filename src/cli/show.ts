import type { Command } from "commander";
import { GetModelResponseSchema } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { CliError } from "./cli-error.ts";
import { withClient } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
import { formatModel } from "./format/model.ts";
import { messageJson, print, printJson } from "./output.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

/** Adds `show`: prints a model and one of its versions. */
export function addShow(program: Command): void {
  const command = program
    .command("show")
    .summary("show a model and a version of it")
    .description("Shows a model, and the files of the version that is named: by default the newest.")
    .argument("<model>", "<id>, <id>@<alias> or <id>@<version>");
  withServiceOptions(command).action(show);
}

async function show(modelRef: string, options: ServiceOptions): Promise<void> {
  const answer = await withClient(options, (client) => client.models.getModel({ modelRef }));
  if (options.json) {
    printJson(messageJson(GetModelResponseSchema, answer));
    return;
  }
  if (answer.model === undefined) throw new CliError(EXIT.failure, "the service answered without a model");
  print(formatModel(answer.model, answer.version, new Date()));
}
