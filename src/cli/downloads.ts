import { type Command, InvalidArgumentError } from "commander";
import { type Download, DownloadSchema } from "../../gen/modelmanager/v1/download_pb.ts";
import { parseBytes } from "../lib/bytes.ts";
import { CliError } from "./cli-error.ts";
import { withClient } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
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

interface LimitOptions extends ServiceOptions {
  readonly rate?: bigint;
  readonly priority?: number;
}

/** Adds `downloads` with `list`, `watch`, `pause`, `resume`, `limit` and `cancel`. */
export function addDownloads(program: Command): void {
  const downloads = program
    .command("downloads")
    .summary("list, watch, pause, resume, limit and cancel downloads")
    .description("Lists downloads; watches, holds, continues, limits or ends one.");
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
  const pausing = downloads
    .command("pause")
    .summary("hold a download")
    .description("Holds a download; it keeps what it has.")
    .argument("<download>", "the download's id");
  withServiceOptions(pausing).action(pause);
  const resuming = downloads
    .command("resume")
    .summary("let a paused or failed download go on")
    .description("Lets a paused download go on, or tries a failed one again.")
    .argument("<download>", "the download's id");
  withServiceOptions(resuming).action(resume);
  const limiting = downloads
    .command("limit")
    .summary("change the speed or the priority of a download")
    .description("Changes the speed or the priority of a download, also while it runs.")
    .argument("<download>", "the download's id")
    .option("--rate <bytes>", "the most bytes a second, such as 10MiB; 0 lifts the limit", parseRate)
    .option("--priority <number>", "higher goes first", parsePriority);
  withServiceOptions(limiting).action(limit);
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

async function pause(downloadId: string, options: ServiceOptions): Promise<void> {
  const { download } = await withClient(options, (client) => client.models.pauseDownload({ downloadId }));
  report(download, options, `paused ${downloadId}\n  go on: model-manager downloads resume ${downloadId}`);
}

async function resume(downloadId: string, options: ServiceOptions): Promise<void> {
  const { download } = await withClient(options, (client) => client.models.resumeDownload({ downloadId }));
  report(download, options, `resumed ${downloadId}\n  watch it: model-manager downloads watch ${downloadId}`);
}

async function limit(downloadId: string, options: LimitOptions): Promise<void> {
  const { rate: rateLimit, priority } = options;
  if (rateLimit === undefined && priority === undefined) {
    throw new CliError(EXIT.usage, "nothing to change", { hint: "give --rate, --priority or both" });
  }
  const { download } = await withClient(options, (client) =>
    client.models.updateDownload({ downloadId, rateLimit, priority }),
  );
  report(download, options, `changed ${downloadId}`);
}

async function cancel(downloadId: string, options: ServiceOptions): Promise<void> {
  const { download } = await withClient(options, (client) => client.models.cancelDownload({ downloadId }));
  report(download, options, `cancelled ${downloadId}`);
}

function report(download: Download | undefined, { json }: ServiceOptions, words: string): void {
  if (json) printJson({ download: download && toJson(download) });
  else tell(words);
}

function parseRate(text: string): bigint {
  try {
    return BigInt(parseBytes(text));
  } catch (error) {
    throw new InvalidArgumentError(`It ${error instanceof Error ? error.message : error}.`);
  }
}

function parsePriority(text: string): number {
  const priority = Number(text);
  if (!Number.isInteger(priority)) throw new InvalidArgumentError("It must be a whole number.");
  return priority;
}

function toJson(download: Download) {
  return messageJson(DownloadSchema, download);
}
