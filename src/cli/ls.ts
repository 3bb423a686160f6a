import type { Command } from "commander";
import { ModelSchema } from "../../gen/modelmanager/v1/model_pb.ts";
import { commandHint } from "./command-hint.ts";
import { withClient } from "./connection.ts";
import { formatModels } from "./format/model.ts";
import { messageJson, print, printJson, tell } from "./output.ts";
import { allPages } from "./pages.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

interface LsOptions extends ServiceOptions {
  readonly filter?: string;
}

/** Adds `ls`: lists models. */
export function addLs(program: Command): void {
  const command = program
    .command("ls")
    .summary("list models")
    .description("Lists models by id.")
    .option("--filter <expression>", "such as: type = LLM AND labels.team = search");
  withServiceOptions(command).action(ls);
}

async function ls(options: LsOptions): Promise<void> {
  const pages = await withClient(options, (client) =>
    allPages((page) => client.models.listModels({ ...page, filter: options.filter })),
  );
  const models = pages.flatMap((page) => page.models);
  if (options.json) {
    const [{ totalSize }] = pages;
    printJson({ models: models.map((model) => messageJson(ModelSchema, model)), totalSize: Number(totalSize) });
  } else if (models.length > 0) print(formatModels(models, new Date()));
  else if (options.filter === undefined)
    tell(`no models yet; get one: ${commandHint("pull hf:Qwen/Qwen2.5-0.5B-Instruct", options)}`);
  else tell("no model matches the filter");
}
