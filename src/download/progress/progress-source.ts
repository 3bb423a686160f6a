import type { Progress } from "../../domain/download.ts";

/** The progress of one download, however this process comes to know of it. */
export interface ProgressSource {
  /** Grows with every change. */
  readonly sequence: number;
  /** Whether the download has ended; nothing changes after that. */
  readonly ended: boolean;
  /** How far it is, with all files or only those that changed after a sequence. */
  snapshot(since?: number): Progress;
}
