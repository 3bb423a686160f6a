import type { DownloadProgress } from "../../gen/modelmanager/v1/download_pb.ts";
import type { ModelManagerClient } from "../client/connect.ts";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";
import { followDownload, goingOn, type ProgressStream } from "./follow-download.ts";
import { createProgressView } from "./progress-views.ts";
import type { ServiceOptions } from "./service-options.ts";

const INTERRUPTIONS = ["SIGINT", "SIGTERM"] as const;

/**
 * Follows a download on the terminal until it ends; returns its last message.
 *
 * @throws CliError interrupted: on Ctrl-C, after which the download goes on by itself.
 */
export async function watchOnTerminal(
  client: Pick<ModelManagerClient, "models">,
  open: (signal: AbortSignal) => ProgressStream,
  options: Pick<ServiceOptions, "server" | "json"> & { readonly quiet?: boolean },
): Promise<DownloadProgress> {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  for (const signal of INTERRUPTIONS) process.once(signal, interrupt);
  const view = createProgressView(options);
  let downloadId = "";
  try {
    const stream = open(interruption.signal);
    const update: typeof view.update = (progress, files) => {
      downloadId = progress.downloadId;
      view.update(progress, files);
    };
    return await followDownload(client, stream, { ...view, update }, interruption.signal, options);
  } catch (error) {
    const { aborted } = interruption.signal;
    if (aborted && downloadId === "") throw new CliError(EXIT.interrupted, "interrupted");
    if (!aborted) throw error;
    throw new CliError(EXIT.interrupted, "stopped watching; the download goes on", {
      hint: goingOn(downloadId, options),
    });
  } finally {
    view.end();
    for (const signal of INTERRUPTIONS) process.off(signal, interrupt);
  }
}
