import type { Command } from "commander";
import { VersionSchema } from "../../gen/modelmanager/v1/version_pb.ts";
import { formatModelRef } from "../domain/model-ref.ts";
import { humanBytes } from "../lib/bytes.ts";
import type { Imported, ImportOptions, ImportResult } from "./bundle/import-bundle.ts";
import { addCommand } from "./commands.ts";
import { withClient } from "./connection.ts";
import { counted } from "./format/values.ts";
import { untilInterrupted } from "./interruption.ts";
import { modelTypeOption } from "./model-type-option.ts";
import { messageJson, print, printJson } from "./output.ts";
import { withServiceOptions } from "./service-options.ts";

/** Adds `import-bundle`: brings the versions of a bundle into the service. */
export function addImportBundle(program: Command): void {
  const command = addCommand(
    program,
    "import-bundle",
    "bring in the versions of a bundle that export wrote",
    "Brings in the versions of a bundle: sends what the service does not have, and makes models and versions when all of it is " +
      "there and verified. Models that are there stay as they are. OCI image layouts of other programs are taken too if each " +
      "layer is a file as it is; say with --model which model they become.",
  )
    .argument("<bundle>", "a folder, or a tar")
    .option("--model <id>", "the model that its versions become versions of")
    .addOption(modelTypeOption())
    .option("--aliases", "set the aliases that its versions had, moving those that are there")
    .option("-q, --quiet", "show no progress");
  withServiceOptions(command).action(importVersions);
}

async function importVersions(path: string, options: ImportOptions): Promise<void> {
  const { importBundle } = await import("./bundle/import-bundle.ts");
  const hint = "import it again to go on: what the service has is not sent again";
  const result = await untilInterrupted(hint, (signal) =>
    withClient(options, (client, address) => importBundle(client, address, path, options, signal)),
  );
  if (!options.json) print(formatImported(path, result));
  else {
    const versions = result.versions.map(({ version, ...rest }) => ({
      ...rest,
      version: messageJson(VersionSchema, version),
    }));
    printJson({ bundle: path, ...result, versions });
  }
}

function formatImported(path: string, { versions, totalBytes, sentBytes }: ImportResult): string {
  const head = `${path}: ${counted(versions.length, "version")}, ${humanBytes(totalBytes)}, of which ${humanBytes(sentBytes)} were sent`;
  return [head, ...versions.map(formatVersion)].join("\n");
}

function formatVersion({ version, name, aliases }: Imported): string {
  const ref = formatModelRef({ modelId: version.modelId, version: version.version });
  const set = aliases.length === 0 ? "" : `, ${aliases.join(", ")}`;
  return `  ${ref}  from ${name}: ${humanBytes(version.totalBytes)} in ${counted(version.fileCount, "file")}${set}`;
}
