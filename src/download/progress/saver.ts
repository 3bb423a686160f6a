import type { Logger } from "../../domain/logger.ts";
import type { DownloadJobs, Lease } from "../../domain/ports/download-jobs.ts";
import type { Clock } from "../../lib/clock.ts";
import type { JobProgress } from "./job-progress.ts";

const SAVE_MS = 250;
/** Downloads of very many files are kept less often: each file costs this much longer. */
const SAVE_MS_PER_FILE = 0.2;

interface Entry {
  readonly lease: Lease;
  readonly progress: JobProgress;
  savedSequence: number;
  nextSave: number;
}

/** Keeps the progress of this process's downloads for readers in other processes: one statement for all, four times a second. */
export class ProgressSaver {
  readonly #jobs: DownloadJobs;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #entries = new Map<JobProgress, Entry>();
  #stopTimer: (() => void) | undefined;
  #saving = false;

  constructor(jobs: DownloadJobs, clock: Clock, log: Logger) {
    this.#jobs = jobs;
    this.#clock = clock;
    this.#log = log;
  }

  add(lease: Lease, progress: JobProgress): void {
    this.#entries.set(progress, { lease, progress, savedSequence: 0, nextSave: 0 });
    this.#stopTimer ??= this.#clock.every(SAVE_MS, () => void this.#save());
  }

  remove(progress: JobProgress): void {
    this.#entries.delete(progress);
    if (this.#entries.size === 0) this.close();
  }

  close(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  async #save(): Promise<void> {
    const now = this.#clock.now();
    const due = [...this.#entries.values()].filter(
      ({ progress, savedSequence, nextSave }) => progress.sequence !== savedSequence && now >= nextSave,
    );
    if (this.#saving || due.length === 0) return;
    this.#saving = true;
    try {
      const entries = due.map(({ lease, progress }) => ({ lease, progress: progress.snapshot() }));
      for (const entry of due) {
        entry.savedSequence = entry.progress.sequence;
        entry.nextSave = now + entry.progress.fileCount * SAVE_MS_PER_FILE;
      }
      await this.#jobs.saveProgress(entries);
    } catch (error) {
      this.#log.debug("progress could not be kept", { error });
    } finally {
      this.#saving = false;
    }
  }
}
