import { type Command, InvalidArgumentError } from "commander";
import { type Download, DownloadSchema } from "../../gen/modelmanager/v1/download_pb.ts";
import { parseBytes } from "../lib/bytes.ts";
import { CliError } from "./cli-error.ts";
import { commandHint } from "./command-hint.ts";
import { addCommand, addListCommand } from "./commands.ts";
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
  const downloads = addCommand(
    program,
    "downloads",
    "list, watch, pause, resume, limit and cancel downloads",
    "Lists downloads; watches, holds, continues, limits or ends one.",
  );
  const add = (name: string, summary: string, description: string) =>
    addCommand(downloads, name, summary, description).argument("<download>", "the download's id");

  const listing = addListCommand(downloads, "Lists downloads, newest first.", "model_id = llama3 AND state = FAILED");
  withServiceOptions(listing).action(list);
  const watching = add("watch", "show the progress of a download", "Shows the progress of a download until it ends.");
  watching.option("-q, --quiet", "show nothing; the exit code tells how it ended");
  withServiceOptions(watching).action(watch);
  const pausing = add("pause", "hold a download", "Holds a download; it keeps what it has.");
  withServiceOptions(pausing).action(pause);
  const resuming = add(
    "resume",
    "let a paused or failed download go on",
    "Lets a paused download go on, or tries a failed one again.",
  );
  withServiceOptions(resuming).action(resume);
  const limiting = add(
    "limit",
    "change the speed or the priority of a download",
    "Changes the speed or the priority of a download, also while it runs.",
  )
    .option("--rate <bytes>", "the most bytes a second, such as 10MiB; 0 lifts the limit", parseRate)
    .option("--priority <number>", "higher goes first", parsePriority);
  withServiceOptions(limiting).action(limit);
  const cancelling = add("cancel", "end a download", "Ends a download.");
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
  report(download, options, `paused ${downloadId}\n  go on: ${commandHint(`downloads resume ${downloadId}`, options)}`);
}

async function resume(downloadId: string, options: ServiceOptions): Promise<void> {
  const { download } = await withClient(options, (client) => client.models.resumeDownload({ downloadId }));
  report(
    download,
    options,
    `resumed ${downloadId}\n  watch it: ${commandHint(`downloads watch ${downloadId}`, options)}`,
  );
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
