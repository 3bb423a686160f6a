import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Command } from "commander";
import { humanBytes } from "../lib/bytes.ts";
import type { Exported, ExportOptions } from "./bundle/export-bundle.ts";
import { CliError } from "./cli-error.ts";
import { addCommand } from "./commands.ts";
import { withClient } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
import { counted } from "./format/values.ts";
import { untilInterrupted } from "./interruption.ts";
import { print, printJson } from "./output.ts";
import { withServiceOptions } from "./service-options.ts";

/** Adds `export`: writes versions into a bundle for a site without a network. */
export function addExport(program: Command): void {
  const command = addCommand(
    program,
    "export",
    "write versions into a bundle that can be carried elsewhere",
    "Writes versions with all their files into a bundle, which import-bundle reads at another site: an OCI image layout with " +
      "a ModelPack for each version, so that skopeo and oras read it too. A folder that has a bundle already gets the new " +
      "versions added, and what is there is not fetched again.",
  )
    .usage("<ref...> <file.tar | folder> [options]")
    .argument("<ref-and-target...>", "<id>, <id>@<alias> or <id>@<version>, and where to write them")
    .option("--since <version>", "leave out what this older version has: the other site has it already")
    .option("-q, --quiet", "show no progress");
  withServiceOptions(command).action(exportVersions);
}

async function exportVersions(refsAndTarget: string[], options: ExportOptions): Promise<void> {
  const target = refsAndTarget.at(-1) ?? "";
  const modelRefs = refsAndTarget.slice(0, -1);
  if (modelRefs.length === 0) {
    throw new CliError(EXIT.usage, "what to export, and where to", {
      hint: "say: export <ref...> <file.tar | folder>",
    });
  }
  await assertTarget(target);
  const { exportBundle } = await import("./bundle/export-bundle.ts");
  const hint = target.endsWith(".tar")
    ? "nothing is left of it: a tar begins anew, a folder can be gone on with"
    : "the folder keeps what it has: export into it again to go on";
  const exported = await untilInterrupted(hint, (signal) =>
    withClient(options, (client, address) => exportBundle(client, address, modelRefs, target, options, signal)),
  );
  if (options.json) printJson({ file: target, ...exported });
  else print(formatExported(target, exported));
}

/** Before anything is asked for: a tar needs its folder, and no other archive is written. */
async function assertTarget(target: string): Promise<void> {
  if (/\.(?:zip|7z|tgz|gz|zst|xz|bz2)$/i.test(target)) {
    throw new CliError(EXIT.usage, `${target}: a bundle is a folder, or a file whose name ends with .tar`);
  }
  if (!target.endsWith(".tar")) return;
  const folder = dirname(target);
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory()) throw new CliError(EXIT.usage, `${target}: there is no folder ${folder}`);
}

function formatExported(target: string, { versions, bytes, fetchedBytes, omittedBytes }: Exported): string {
  const kept = bytes - fetchedBytes;
  const parts = [
    `${target}: ${counted(versions.length, "version")}, ${humanBytes(bytes)}`,
    kept > 0 ? `${humanBytes(kept)} of it were there already` : "",
    omittedBytes > 0 ? `${humanBytes(omittedBytes)} left out` : "",
  ];
  const lines = versions.map(({ modelRef, refName }) => `  ${modelRef}  as ${refName}`);
  return [parts.filter((part) => part !== "").join(", "), ...lines].join("\n");
}
