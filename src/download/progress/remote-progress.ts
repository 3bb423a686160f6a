import { type FileProgress, isTerminal, type Progress } from "../../domain/download.ts";
import type { ProgressSource } from "./progress-source.ts";

/** The progress of a download that another process works on, or nobody, as it is read now and then. */
export class RemoteProgress implements ProgressSource {
  #sequence = 1;
  #progress: Progress;
  #files = new Map<string, { file: FileProgress; changed: number }>();

  constructor(progress: Progress) {
    this.#progress = progress;
    this.#takeFiles(progress.files);
  }

  get sequence(): number {
    return this.#sequence;
  }

  get ended(): boolean {
    return isTerminal(this.#progress.state);
  }

  /** Takes in what was read; what is older than what is known already is passed over. */
  update(progress: Progress): void {
    if (this.ended || sameJob(this.#progress, progress)) return;
    const { attempt, completedBytes, sourceBytes, reusedBytes, completedFiles } = this.#progress;
    const older =
      progress.attempt < attempt || (progress.attempt === attempt && progress.completedBytes < completedBytes);
    // What was kept of a job that was held or has ended may lag behind what was seen of it.
    const stands = progress.state === "PAUSED" || isTerminal(progress.state);
    if (older && !stands) return;
    this.#sequence += 1;
    this.#progress = older
      ? { ...progress, attempt, completedBytes, sourceBytes, reusedBytes, completedFiles }
      : progress;
    // Nothing is kept of the files of a job that has ended.
    this.#takeFiles(progress.state === "SUCCEEDED" ? this.#completeFiles() : progress.files);
  }

  snapshot(since = 0): Progress {
    const files = [...this.#files.values()].filter(({ changed }) => changed > since).map(({ file }) => file);
    return { ...this.#progress, files };
  }

  #completeFiles(): FileProgress[] {
    return [...this.#files.values()].map(({ file }) => {
      const { totalBytes, completedBytes } = file;
      return { ...file, state: "COMPLETE", completedBytes: totalBytes ?? completedBytes };
    });
  }

  #takeFiles(files: readonly FileProgress[]): void {
    for (const file of files) {
      const known = this.#files.get(file.path)?.file;
      if (known === undefined || !sameFile(known, file)) this.#files.set(file.path, { file, changed: this.#sequence });
    }
  }
}

/** The time alone would not do: it stands still after the owner's clock was set back. */
const TOLD = [
  "state",
  "attempt",
  "completedBytes",
  "totalBytes",
  "sourceBytes",
  "reusedBytes",
  "completedFiles",
  "totalFiles",
  "bytesPerSecond",
  "resolvedRevision",
] as const;

function sameJob(a: Progress, b: Progress): boolean {
  return (
    a.updateTime.getTime() === b.updateTime.getTime() &&
    a.waiting?.message === b.waiting?.message &&
    TOLD.every((field) => a[field] === b[field])
  );
}

function sameFile(a: FileProgress, b: FileProgress): boolean {
  return a.state === b.state && a.completedBytes === b.completedBytes && a.totalBytes === b.totalBytes;
}
