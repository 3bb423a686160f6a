import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { ModelManagerClient } from "../../client/connect.ts";
import { isDiskFull, isMissing } from "../../lib/system-error.ts";
import { openBlobTransfer } from "../blob-transfer.ts";
import { CliError } from "../cli-error.ts";
import type { ServiceAddress } from "../connection.ts";
import { EXIT } from "../exit-codes.ts";
import type { ServiceOptions } from "../service-options.ts";
import { showTransfer } from "../transfer-progress.ts";
import { type ExportPlan, planExport } from "./plan-export.ts";
import { writeFolder } from "./write-folder.ts";
import { writeTar } from "./write-tar.ts";

/** What an export takes beside references and target. */
export interface ExportOptions extends ServiceOptions {
  /** An older version of the same model, as a number or an alias: its blobs are left out. */
  readonly since?: string;
  readonly quiet?: boolean;
}

/** What was exported. */
export interface Exported extends Pick<ExportPlan, "versions" | "omittedBytes"> {
  readonly bytes: number;
  readonly fetchedBytes: number;
}

/**
 * Writes versions into a bundle: a tar if the target's name ends with `.tar`, else a folder.
 *
 * @throws CliError, ConnectError
 */
export async function exportBundle(
  client: ModelManagerClient,
  address: ServiceAddress,
  modelRefs: readonly string[],
  target: string,
  options: ExportOptions,
  signal: AbortSignal,
): Promise<Exported> {
  const write = (await isTar(target)) ? writeTar : writeFolder;
  const plan = await planExport(client, modelRefs, options.since, signal);
  const transfer = await openBlobTransfer(address);
  const progress = await showTransfer(plan.blobs, options);
  try {
    const fetchedBytes = await write(resolve(target), plan, transfer, progress, signal);
    const { versions, omittedBytes, blobs } = plan;
    return { versions, omittedBytes, bytes: blobs.reduce((sum, { size }) => sum + size, 0), fetchedBytes };
  } catch (error) {
    throw isDiskFull(error) ? new CliError(EXIT.failure, `${target}: there is no room left on its disk`) : error;
  } finally {
    progress.end();
    await transfer.close();
  }
}

/** Whether the target is to be a tar; what is there already must be of that kind. */
async function isTar(target: string): Promise<boolean> {
  const wantsTar = target.endsWith(".tar");
  try {
    const isFolder = (await stat(target)).isDirectory();
    if (isFolder || wantsTar) return !isFolder;
  } catch (error) {
    if (isMissing(error)) return wantsTar;
    throw error;
  }
  throw new CliError(EXIT.usage, `${target}: must be a folder, or a file whose name ends with .tar`);
}
