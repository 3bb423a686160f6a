import type { Command } from "commander";
import { ModelStatus } from "../../gen/modelmanager/v1/model_pb.ts";
import { GetModelResponseSchema } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { CliError } from "./cli-error.ts";
import { withClient } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
import { formatDownloads } from "./format/download.ts";
import { formatModel } from "./format/model.ts";
import { messageJson, print, printJson } from "./output.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

/** Downloads that have not ended. */
const LIVE = ["QUEUED", "RESOLVING", "TRANSFERRING", "VERIFYING", "PAUSED"]
  .map((state) => `state = ${state}`)
  .join(" OR ");

/** Adds `show`: prints a model, one of its versions and its live downloads. */
export function addShow(program: Command): void {
  const command = program
    .command("show")
    .summary("show a model and a version of it")
    .description(
      "Shows a model with its live downloads, or the failed one that left it without a version, and the files of the version that is named: by default the newest.",
    )
    .argument("<model>", "<id>, <id>@<alias> or <id>@<version>");
  withServiceOptions(command).action(show);
}

async function show(modelRef: string, options: ServiceOptions): Promise<void> {
  const { answer, downloads } = await withClient(options, async (client) => {
    const answer = await client.models.getModel({ modelRef });
    if (options.json) return { answer, downloads: [] };
    const list = (states: string, pageSize = 0) =>
      client.models.listDownloads({ filter: `model_id = "${answer.model?.id}" AND (${states})`, pageSize });
    const { downloads } = await list(LIVE);
    // Its error is why the model has no version.
    if (answer.model?.status === ModelStatus.FAILED) downloads.push(...(await list("state = FAILED", 1)).downloads);
    return { answer, downloads };
  });
  if (options.json) {
    printJson(messageJson(GetModelResponseSchema, answer));
    return;
  }
  if (answer.model === undefined) throw new CliError(EXIT.failure, "the service answered without a model");
  const now = new Date();
  print(formatModel(answer.model, answer.version, now));
  if (downloads.length > 0) print(`\n${formatDownloads(downloads, now)}`);
}
