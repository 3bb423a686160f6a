import type { Command } from "commander";
import { type Download, DownloadSchema } from "../../gen/modelmanager/v1/download_pb.ts";
import { withClient } from "./connection.ts";
import { formatDownloads } from "./format/download.ts";
import { messageJson, print, printJson, tell } from "./output.ts";
import { allPages } from "./pages.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";
import { watchOnTerminal } from "./watch.ts";

interface ListOptions extends ServiceOptions {
  readonly filter?: string;
}

interface WatchOptions extends ServiceOptions {
  readonly quiet?: boolean;
}

/** Adds `downloads` with `list`, `watch` and `cancel`. */
export function addDownloads(program: Command): void {
  const downloads = program
    .command("downloads")
    .summary("list, watch and cancel downloads")
    .description("Lists downloads; watches or cancels one.");
  const listing = downloads
    .command("list", { isDefault: true })
    .summary("list downloads (the default)")
    .description("Lists downloads, newest first.")
    .option("--filter <expression>", "such as: model_id = llama3 AND state = FAILED");
  withServiceOptions(listing).action(list);
  const watching = downloads
    .command("watch")
    .summary("show the progress of a download")
    .description("Shows the progress of a download until it ends.")
    .argument("<download>", "the download's id")
    .option("-q, --quiet", "show nothing; the exit code tells how it ended");
  withServiceOptions(watching).action(watch);
  const cancelling = downloads
    .command("cancel")
    .summary("end a download")
    .description("Ends a download.")
    .argument("<download>", "the download's id");
  withServiceOptions(cancelling).action(cancel);
}

async function list(options: ListOptions): Promise<void> {
  const pages = await withClient(options, (client) =>
    allPages((page) => client.models.listDownloads({ ...page, filter: options.filter })),
  );
  const downloads = pages.flatMap((page) => page.downloads);
  if (options.json) {
    printJson({ downloads: downloads.map(toJson), totalSize: Number(pages[0].totalSize) });
  } else if (downloads.length > 0) print(formatDownloads(downloads, new Date()));
  else tell(options.filter === undefined ? "no downloads yet" : "no download matches the filter");
}

async function watch(downloadId: string, options: WatchOptions): Promise<void> {
  await withClient(options, async (client) => {
    const open = (signal: AbortSignal) => client.models.watchDownload({ downloadId }, { signal });
    const last = await watchOnTerminal(client, open, options);
    if (!options.json && !options.quiet) print(`download ${downloadId} succeeded: version ${last.version}`);
  });
}

async function cancel(downloadId: string, options: ServiceOptions): Promise<void> {
  const { download } = await withClient(options, (client) => client.models.cancelDownload({ downloadId }));
  if (options.json) printJson({ download: download && toJson(download) });
  else tell(`cancelled ${downloadId}`);
}

function toJson(download: Download) {
  return messageJson(DownloadSchema, download);
}
