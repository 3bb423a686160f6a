import type { DownloadProgress } from "../../gen/modelmanager/v1/download_pb.ts";
import type { ModelManagerClient } from "../client/connect.ts";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";
import { followDownload, type ProgressStream } from "./follow-download.ts";
import { createProgressView } from "./progress-views.ts";

/**
 * Follows a download on the terminal until it ends; returns its last message.
 *
 * @throws CliError interrupted: on Ctrl-C, after which the download goes on by itself.
 */
export async function watchOnTerminal(
  client: Pick<ModelManagerClient, "models">,
  open: (signal: AbortSignal) => ProgressStream,
  options: { readonly json?: boolean; readonly quiet?: boolean },
): Promise<DownloadProgress> {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  process.once("SIGINT", interrupt);
  const view = createProgressView(options);
  let downloadId = "";
  try {
    const stream = open(interruption.signal);
    const update: typeof view.update = (progress, files) => {
      downloadId = progress.downloadId;
      view.update(progress, files);
    };
    return await followDownload(client, stream, { ...view, update }, interruption.signal);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    view.end();
    throw interrupted(downloadId);
  } finally {
    view.end();
    process.off("SIGINT", interrupt);
  }
}

function interrupted(downloadId: string): CliError {
  if (downloadId === "") return new CliError(EXIT.interrupted, "interrupted");
  return new CliError(EXIT.interrupted, "stopped watching; the download goes on", {
    hint: `watch it:  model-manager downloads watch ${downloadId}\n  cancel it: model-manager downloads cancel ${downloadId}`,
  });
}
