import { type Download, isTerminal, type Progress } from "../../domain/download.ts";
import { DomainError, isDomainError } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import type { DownloadJobs, Lease } from "../../domain/ports/download-jobs.ts";
import type { Clock } from "../../lib/clock.ts";
import { Channel } from "./channel.ts";
import type { JobProgress } from "./job-progress.ts";
import { RemoteProgress } from "./remote-progress.ts";
import { ProgressSaver } from "./saver.ts";

const TICK_MS = 100;
const POLL_MS = 250;

/**
 * Where those who work on downloads say how far they are, and those who watch hear of it. What other processes work on
 * is read from what they keep, while somebody watches it.
 */
export class ProgressHub {
  readonly #jobs: DownloadJobs;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #local = new Map<string, JobProgress>();
  readonly #channels = new Map<string, Channel>();
  readonly #saver: ProgressSaver;
  #stopTimers: (() => void) | undefined;
  #polling = false;
  #closed = false;

  constructor(jobs: DownloadJobs, clock: Clock, log: Logger) {
    this.#jobs = jobs;
    this.#clock = clock;
    this.#log = log;
    this.#saver = new ProgressSaver(jobs, clock, log);
  }

  /** This process works on a download from now on. */
  attach(lease: Lease, progress: JobProgress): void {
    this.#local.set(progress.downloadId, progress);
    this.#saver.add(lease, progress);
    this.#channels.get(progress.downloadId)?.replace(progress);
  }

  /** This process does not work on a download any more; whether it ended is asked of the record. */
  async detach(progress: JobProgress): Promise<void> {
    const { downloadId } = progress;
    this.#saver.remove(progress);
    if (!progress.ended) await this.#learnEnding(progress);
    this.#local.delete(downloadId);
    if (!progress.ended) this.#channels.get(downloadId)?.replace(new RemoteProgress(progress.snapshot()));
  }

  /** See {@link Downloads.watch}. */
  async *watch(downloadId: string, signal: AbortSignal): AsyncGenerator<Progress, void, undefined> {
    const channel = await this.#open(downloadId);
    const watcher = channel.join();
    this.#keepTime();
    try {
      for (;;) {
        const progress = await channel.next(watcher, signal);
        if (progress === undefined) return;
        yield progress;
      }
    } finally {
      channel.watchers.delete(watcher);
      if (channel.watchers.size === 0 && this.#channels.get(downloadId) === channel) this.#channels.delete(downloadId);
      this.#keepTime();
    }
  }

  /** Ends all watchers with SHUTTING_DOWN. */
  close(): void {
    this.#closed = true;
    this.#saver.close();
    for (const channel of this.#channels.values()) channel.fail(shuttingDown());
  }

  async #open(downloadId: string): Promise<Channel> {
    if (this.#closed) throw shuttingDown();
    const remote = this.#known(downloadId) ? undefined : await this.#read(downloadId);
    const known = this.#channels.get(downloadId);
    if (known !== undefined) return known;
    const source = this.#local.get(downloadId) ?? new RemoteProgress(remote ?? (await this.#read(downloadId)));
    const channel = new Channel(source, this.#clock);
    this.#channels.set(downloadId, channel);
    return channel;
  }

  #known(downloadId: string): boolean {
    return this.#channels.has(downloadId) || this.#local.has(downloadId);
  }

  /** Timers run only while somebody watches. */
  #keepTime(): void {
    if (this.#channels.size === 0) {
      this.#stopTimers?.();
      this.#stopTimers = undefined;
    } else if (this.#stopTimers === undefined) {
      const stopTicks = this.#clock.every(TICK_MS, () => {
        for (const channel of this.#channels.values()) channel.tick();
      });
      const stopPolls = this.#clock.every(POLL_MS, () => void this.#poll());
      this.#stopTimers = () => {
        stopTicks();
        stopPolls();
      };
    }
  }

  async #poll(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    try {
      const remote = [...this.#channels].filter(([, { source }]) => source instanceof RemoteProgress && !source.ended);
      if (remote.length === 0) return;
      const kept = await this.#jobs.readProgress(remote.map(([downloadId]) => downloadId));
      await Promise.all(
        remote.map(([downloadId, channel]) => this.#refresh(downloadId, channel, kept.get(downloadId))),
      );
    } catch (error) {
      this.#log.debug("progress of other processes could not be read", { error });
    } finally {
      this.#polling = false;
    }
  }

  async #refresh(downloadId: string, channel: Channel, kept: Progress | undefined): Promise<void> {
    try {
      const progress = progressOf(await this.#jobs.get(downloadId), kept);
      if (channel.source instanceof RemoteProgress) channel.source.update(progress);
    } catch (error) {
      if (!isDomainError(error, "DOWNLOAD_NOT_FOUND")) throw error;
      channel.fail(error);
    }
  }

  async #read(downloadId: string): Promise<Progress> {
    const download = await this.#jobs.get(downloadId);
    return progressOf(download, (await this.#jobs.readProgress([downloadId])).get(downloadId));
  }

  async #learnEnding(progress: JobProgress): Promise<void> {
    try {
      const { state, version, error } = await this.#jobs.get(progress.downloadId);
      if (isTerminal(state)) progress.end(state, { version, error });
    } catch (error) {
      if (isDomainError(error, "DOWNLOAD_NOT_FOUND")) this.#channels.get(progress.downloadId)?.fail(error);
      else this.#log.debug("the end of a download could not be read", { downloadId: progress.downloadId, error });
    }
  }
}

/** What the record says of a download, with the files that its owner keeps for others. */
function progressOf({ progress, state, resolvedRevision, version, error }: Download, kept?: Progress): Progress {
  return { ...progress, state, resolvedRevision, version, error, files: kept?.files ?? progress.files };
}

function shuttingDown(): DomainError {
  return new DomainError("SHUTTING_DOWN", "the service is shutting down");
}
