import { Code, ConnectError } from "@connectrpc/connect";
import type { Command } from "commander";
import { type Version, VersionSchema } from "../../gen/modelmanager/v1/version_pb.ts";
import type { ModelManagerClient } from "../client/connect.ts";
import { formatModelRef } from "../domain/model-ref.ts";
import { humanBytes } from "../lib/bytes.ts";
import { humanDuration } from "../lib/duration.ts";
import { commandHint } from "./command-hint.ts";
import { withClient } from "./connection.ts";
import { counted } from "./format/values.ts";
import { untilInterrupted } from "./interruption.ts";
import { modelTypeOf, modelTypeOption } from "./model-type-option.ts";
import { messageJson, print, printJson } from "./output.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

interface ImportOptions extends ServiceOptions {
  readonly type: string;
  readonly baseModel?: string;
  readonly alias?: string;
  readonly license?: string;
  readonly followLinks?: boolean;
  readonly quiet?: boolean;
}

/** Adds `import`: makes a version of local files. */
export function addImport(program: Command): void {
  const command = program
    .command("import")
    .summary("make a version of files on this machine")
    .description(
      "Makes a version of files on this machine; registers the model first if it is new.\n\n" +
        "Of a folder all that is in it is taken, by its path in the folder, but for .git and .cache; files are taken by " +
        "their names. A symbolic link is followed if it stays in the folder. What the service has already is not sent, and an " +
        "import that was interrupted goes on where it stopped.",
    )
    .argument("<model>", "the model's id")
    .argument("<paths...>", "folders and files")
    .addOption(modelTypeOption())
    .option("--base-model <id>", "the model that an adapter is applied to")
    .option("--alias <name>", "make this a name of the version, or move it there")
    .option("--license <name>", "the license of the files, such as apache-2.0")
    .option("--follow-links", "follow symbolic links out of a folder too")
    .option("-q, --quiet", "print the version alone, when it is there");
  withServiceOptions(command).action(importPaths);
}

async function importPaths(modelId: string, paths: string[], options: ImportOptions): Promise<void> {
  const { listLocalFiles } = await import("./import/local-files.ts");
  const { importFiles } = await import("./import/import-files.ts");
  const files = await listLocalFiles(paths, options.followLinks ?? false);
  const startedAt = Date.now();
  const hint = "import it again to go on: what the service has is not sent again";
  const { version, sentBytes } = await untilInterrupted(hint, (signal) =>
    withClient(options, async (client, address) => {
      await register(client, modelId, options);
      const imported = await importFiles(client, address, { ...options, modelId, files }, signal);
      if (options.alias !== undefined) {
        await client.models.setAlias({ modelId, alias: options.alias, version: imported.version?.version });
      }
      return imported;
    }),
  );
  if (version === undefined) return;
  if (options.json) printJson({ version: messageJson(VersionSchema, version), sentBytes });
  else if (options.quiet) print(formatModelRef({ modelId: version.modelId, version: version.version }));
  else print(formatDone(version, sentBytes, Date.now() - startedAt, options));
}

/** Registers the model unless it is there, wherever that one's files come from. */
async function register(
  { models }: Pick<ModelManagerClient, "models">,
  id: string,
  { type, baseModel }: ImportOptions,
): Promise<void> {
  const source = { kind: { case: "upload" as const, value: {} } };
  try {
    await models.createModel({ model: { id, type: modelTypeOf(type), baseModelId: baseModel, source } });
  } catch (error) {
    if (!(error instanceof ConnectError) || error.code !== Code.AlreadyExists) throw error;
  }
}

function formatDone(version: Version, sentBytes: number, ms: number, options: ImportOptions): string {
  const ref = formatModelRef({ modelId: version.modelId, version: version.version });
  const size = `${humanBytes(version.totalBytes)} in ${counted(version.fileCount, "file")}`;
  const sent = `${humanBytes(sentBytes)} of it sent`;
  return `${ref} is ready: ${size}, verified, in ${humanDuration(ms)}, ${sent}\n  see it: ${commandHint(`show ${version.modelId}`, options)}`;
}
