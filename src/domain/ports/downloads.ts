import type { Download, DownloadChanges, DownloadQuery, Progress } from "../download.ts";
import type { ListRequest, Page } from "../page.ts";
import type { Credential } from "../source.ts";

/** Asks for a download. */
export interface StartDownload extends DownloadQuery {
  readonly priority: number;
  readonly rateLimit?: number;
  /** What the call proves to the source with; kept in memory for this job only. */
  readonly credential?: Credential;
  /** A version whose lost bytes it brings back: it succeeds with that version or not at all, and is no other's to join. */
  readonly repairs?: number;
}

/** The downloads as callers see them. */
export interface Downloads {
  /**
   * Starts a download or joins the live one of the same model, revision and patterns.
   * MODEL_NOT_FOUND, NOT_IMPLEMENTED for a source without a driver, STATE_INVALID for one that is uploaded to.
   */
  start(request: StartDownload): Promise<Download>;
  get(downloadId: string): Promise<Download>;
  /** Newest first. */
  list(request: ListRequest): Promise<Page<Download>>;
  /**
   * The progress of a download: at once a snapshot with all files, then what changed at most 10 times a second and at
   * least every 5 s; ends after a terminal one. A reader that is too slow gets a full snapshot next. DOWNLOAD_NOT_FOUND.
   */
  watch(downloadId: string, signal: AbortSignal): AsyncIterable<Progress>;
  /** Changes a live download, within a second also while it runs; STATE_INVALID if it has ended. */
  update(downloadId: string, changes: DownloadChanges): Promise<Download>;
  /** Holds a live download within a second; it keeps what it has. A paused one is answered as it is; STATE_INVALID if it has ended. */
  pause(downloadId: string): Promise<Download>;
  /**
   * Lets a PAUSED or FAILED download go on; one that does is answered as it is. STATE_INVALID if it succeeded or was cancelled,
   * OPERATION_CONFLICT while another download of the same model, revision and patterns is live.
   */
  resume(downloadId: string): Promise<Download>;
  /** Ends a live download within a second. A cancelled one is answered as it is; STATE_INVALID if it ended otherwise. */
  cancel(downloadId: string): Promise<Download>;
}
