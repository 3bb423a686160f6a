import {
  type Download,
  type DownloadState,
  type FileProgress,
  type FileState,
  isTerminal,
  type Progress,
} from "../../domain/download.ts";
import type { Failure } from "../../domain/failure.ts";
import type { Clock } from "../../lib/clock.ts";
import type { ProgressSource } from "./progress-source.ts";
import { SpeedMeter } from "./speed-meter.ts";

/** The key of what the whole job waits for, beside the paths of its files. */
const JOB = "";

interface FileEntry {
  readonly path: string;
  state: FileState;
  completedBytes: number;
  totalBytes?: number;
  /** The sequence of its last change. */
  changed: number;
}

/** How a download ended, beyond its state. */
export interface Ending {
  readonly version?: number;
  readonly error?: Failure;
}

/**
 * Counts one download that this process works on. `completedBytes` is the sum of what came from the source (now, or kept
 * from an earlier transfer) and what was in the store; it goes back only with a new attempt.
 */
export class JobProgress implements ProgressSource {
  readonly downloadId: string;
  readonly #clock: Clock;
  readonly #speed: SpeedMeter;
  readonly #files = new Map<string, FileEntry>();
  #sequence = 1;
  #state: DownloadState;
  #attempt: number;
  #resolvedRevision: string;
  #listed = false;
  #sourceBytes = 0;
  #reusedBytes = 0;
  #completedFiles = 0;
  /** Passing failures that are waited out, by the file that they hold up. */
  readonly #waiting = new Map<string, Failure>();
  #ending: Ending = {};

  constructor(download: Download, clock: Clock) {
    this.downloadId = download.id;
    this.#clock = clock;
    this.#speed = new SpeedMeter(clock);
    this.#state = download.state;
    this.#attempt = download.progress.attempt;
    this.#resolvedRevision = download.resolvedRevision;
  }

  get sequence(): number {
    return this.#sequence;
  }

  get ended(): boolean {
    return isTerminal(this.#state);
  }

  get attempt(): number {
    return this.#attempt;
  }

  /** Bytes that are here, from anywhere. */
  get completedBytes(): number {
    return this.#sourceBytes + this.#reusedBytes;
  }

  get fileCount(): number {
    return this.#files.size;
  }

  /** Bytes that are still to come, as far as sizes are known. */
  get remainingBytes(): number {
    let remaining = 0;
    for (const { totalBytes = 0, completedBytes } of this.#files.values()) {
      remaining += Math.max(0, totalBytes - completedBytes);
    }
    return remaining;
  }

  enter(state: DownloadState): void {
    this.#state = state;
    this.#waiting.clear();
    this.#sequence += 1;
  }

  resolved(revision: string, files: readonly { readonly path: string; readonly size?: number }[]): void {
    this.#sequence += 1;
    this.#resolvedRevision = revision;
    this.#listed = true;
    for (const { path, size } of files) {
      this.#files.set(path, { path, state: "PENDING", completedBytes: 0, totalBytes: size, changed: this.#sequence });
    }
  }

  sized(path: string, size: number): void {
    this.#change(path, (file) => {
      file.totalBytes = size;
    });
  }

  /** A passing failure holds up a file, or without one the whole job; undefined when that is over. Bytes say the same. */
  waiting(failure: Failure | undefined, path = JOB): void {
    const known = this.#waiting.get(path);
    if (known?.reason === failure?.reason && known?.message === failure?.message) return;
    if (failure === undefined) this.#waiting.delete(path);
    else this.#waiting.set(path, failure);
    this.#sequence += 1;
  }

  /** Bytes of the source that an earlier transfer had received: they say nothing of the speed. */
  kept(path: string, bytes: number): void {
    this.#sourceBytes += bytes;
    this.#waiting.delete(path);
    this.#change(path, (file) => {
      file.state = "TRANSFERRING";
      file.completedBytes += bytes;
    });
  }

  received(path: string, bytes: number): void {
    this.#speed.add(bytes);
    this.kept(path, bytes);
  }

  /** The file starts over from zero, and with that a new attempt begins. Answers how many bytes are void. */
  restarted(path: string): number {
    const lost = this.#files.get(path)?.completedBytes ?? 0;
    this.#attempt += 1;
    this.#sourceBytes -= lost;
    this.#change(path, (file) => {
      file.completedBytes = 0;
      file.state = "TRANSFERRING";
    });
    return lost;
  }

  verifying(path: string): void {
    this.#waiting.delete(path);
    this.#change(path, (file) => {
      file.state = "VERIFYING";
    });
  }

  /** The file is in the store. What was not transferred for this path was there already. */
  complete(path: string, size: number): void {
    this.#waiting.delete(path);
    this.#change(path, (file) => {
      this.#reusedBytes += size - file.completedBytes;
      this.#completedFiles += 1;
      file.state = "COMPLETE";
      file.completedBytes = file.totalBytes = size;
    });
  }

  end(state: DownloadState, ending: Ending = {}): void {
    this.#ending = ending;
    this.enter(state);
  }

  snapshot(since = 0): Progress {
    const totalBytes = this.#totalBytes();
    const { completedBytes } = this;
    const waiting = this.#waitingFor();
    const bytesPerSecond = this.ended || waiting !== undefined ? 0 : this.#speed.bytesPerSecond;
    const timed = totalBytes !== undefined && bytesPerSecond > 0;
    return {
      downloadId: this.downloadId,
      state: this.#state,
      completedBytes,
      totalBytes,
      sourceBytes: this.#sourceBytes,
      peerBytes: 0,
      reusedBytes: this.#reusedBytes,
      completedFiles: this.#completedFiles,
      totalFiles: this.#listed ? this.#files.size : undefined,
      bytesPerSecond,
      etaMs: timed ? Math.round(((totalBytes - completedBytes) * 1000) / bytesPerSecond) : undefined,
      attempt: this.#attempt,
      resolvedRevision: this.#resolvedRevision,
      updateTime: this.#clock.date(),
      files: this.#filesSince(since),
      waiting,
      ...this.#ending,
    };
  }

  /** Why nothing moves: what holds up the whole job, or each file that would be on its way. */
  #waitingFor(): Failure | undefined {
    const [held] = this.#waiting.values();
    if (held === undefined || this.#waiting.has(JOB)) return this.#waiting.get(JOB);
    for (const { path, state } of this.#files.values()) {
      const moves = state === "TRANSFERRING" || state === "VERIFYING";
      if (moves && !this.#waiting.has(path)) return undefined;
    }
    return held;
  }

  #totalBytes(): number | undefined {
    if (!this.#listed) return undefined;
    let total = 0;
    for (const { totalBytes } of this.#files.values()) {
      if (totalBytes === undefined) return undefined;
      total += totalBytes;
    }
    return total;
  }

  #filesSince(since: number): FileProgress[] {
    const files: FileProgress[] = [];
    for (const { path, state, completedBytes, totalBytes, changed } of this.#files.values()) {
      if (changed > since) files.push({ path, state, completedBytes, totalBytes });
    }
    return files;
  }

  #change(path: string, how: (file: FileEntry) => void): void {
    const file = this.#files.get(path);
    if (file === undefined) return;
    this.#sequence += 1;
    file.changed = this.#sequence;
    how(file);
  }
}
