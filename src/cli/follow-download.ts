import { setTimeout } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { type DownloadProgress, DownloadState, type FileProgress } from "../../gen/modelmanager/v1/download_pb.ts";
import type { ModelManagerClient } from "../client/connect.ts";

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

/**
 * Shows the progress of a download until it ends, and returns its last message, which is that of a success. If the service
 * goes away meanwhile, the download is watched again when it is back, for up to a minute.
 *
 * @throws ConnectError the failure of the download or of the call.
 */
export async function followDownload(
  client: Pick<ModelManagerClient, "models">,
  stream: ProgressStream,
  view: ProgressView,
  signal: AbortSignal,
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
      const { code } = ConnectError.from(error);
      if (last === undefined || hasEnded(last.state) || code !== Code.Unavailable || signal.aborted) throw error;
      if (awaySince === undefined) view.note("the service went away; waiting for it to come back");
      awaySince ??= Date.now();
      if (Date.now() - awaySince > AWAY_MS) throw error;
    }
    await setTimeout(RETRY_MS, undefined, { signal });
    next = client.models.watchDownload({ downloadId: last.downloadId }, { signal });
  }
}

function hasEnded(state: DownloadState): boolean {
  return state === DownloadState.SUCCEEDED || state === DownloadState.FAILED || state === DownloadState.CANCELLED;
}
