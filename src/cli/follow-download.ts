import { setTimeout } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { type DownloadProgress, DownloadState, type FileProgress } from "../../gen/modelmanager/v1/download_pb.ts";
import type { ModelManagerClient } from "../client/connect.ts";
import { errorDetails } from "../client/error-details.ts";
import { isAway } from "./call-error.ts";
import { CliError } from "./cli-error.ts";
import { commandHint } from "./command-hint.ts";
import { EXIT } from "./exit-codes.ts";
import type { ServiceOptions } from "./service-options.ts";

/** Shows how far a download is. */
export interface ProgressView {
  /** `files` are all files that are known, by path, as they are now. */
  update(progress: DownloadProgress, files: ReadonlyMap<string, FileProgress>): void;
  /** Something to say between. */
  note(text: string): void;
  /** Nothing more comes. May be called again. */
  end(): void;
}

/** A stream of DownloadModel or WatchDownload. */
export type ProgressStream = AsyncIterable<{ readonly progress?: DownloadProgress }>;

/** How long a service that went away is waited for, and how often it is asked. */
const AWAY_MS = 60_000;
const RETRY_MS = 1_000;
const LOST = "lost the connection to the service; the download goes on there once it is back";

/**
 * Shows the progress of a download until it ends, and returns its last message, which is that of a success. If the service
 * goes away meanwhile, the download is watched again when it is back, for up to a minute.
 *
 * @throws ConnectError the failure of the download or of the call; CliError if the service stays away.
 */
export async function followDownload(
  client: Pick<ModelManagerClient, "models">,
  stream: ProgressStream,
  view: ProgressView,
  signal: AbortSignal,
  options: Pick<ServiceOptions, "server"> = {},
): Promise<DownloadProgress> {
  const files = new Map<string, FileProgress>();
  let next = stream;
  let last: DownloadProgress | undefined;
  let awaySince: number | undefined;
  for (;;) {
    try {
      for await (const { progress } of next) {
        if (progress === undefined) continue;
        for (const file of progress.files) files.set(file.path, file);
        last = progress;
        awaySince = undefined;
        view.update(progress, files);
      }
      if (last?.state === DownloadState.SUCCEEDED) return last;
      throw new ConnectError("the stream ended before the download did", Code.Unavailable);
    } catch (error) {
      if (last === undefined || hasEnded(last.state) || !isAway(error) || signal.aborted) throw error;
      if (awaySince === undefined) view.note(`${LOST}; waiting for it`);
      awaySince ??= Date.now();
      if (Date.now() - awaySince > AWAY_MS) {
        throw new CliError(EXIT.unreachable, LOST, {
          hint: goingOn(last.downloadId, options),
          details: errorDetails(error),
        });
      }
    }
    await setTimeout(RETRY_MS, undefined, { signal });
    next = client.models.watchDownload({ downloadId: last.downloadId }, { signal });
  }
}

/** What can be done about a download that goes on without being watched. */
export function goingOn(downloadId: string, options: Pick<ServiceOptions, "server">): string {
  const command = (name: string) => commandHint(`downloads ${name} ${downloadId}`, options);
  return `watch it:  ${command("watch")}\n  cancel it: ${command("cancel")}`;
}

function hasEnded(state: DownloadState): boolean {
  return state === DownloadState.SUCCEEDED || state === DownloadState.FAILED || state === DownloadState.CANCELLED;
}
