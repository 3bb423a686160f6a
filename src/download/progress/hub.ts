import { isTerminal, type Progress } from "../../domain/download.ts";
import { DomainError } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import type { DownloadJobs, Lease } from "../../domain/ports/download-jobs.ts";
import type { Clock } from "../../lib/clock.ts";
import { Channel, type Watcher } from "./channel.ts";
import type { JobProgress } from "./job-progress.ts";
import type { ProgressSource } from "./progress-source.ts";
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

  /** This process does not work on a download any more, if it did; whether it ended is asked of the record. */
  async detach(progress: JobProgress): Promise<void> {
    const { downloadId } = progress;
    // Whoever loses it says so at once, and again when all work on it has ended.
    if (this.#local.get(downloadId) !== progress) return;
    this.#saver.remove(progress);
    if (!progress.ended) await this.#learnEnding(progress);
    if (this.#local.get(downloadId) !== progress) return;
    this.#local.delete(downloadId);
    if (!progress.ended) this.#channels.get(downloadId)?.replace(new RemoteProgress(progress.snapshot()));
  }

  /** See {@link Downloads.watch}. */
  async *watch(downloadId: string, signal: AbortSignal): AsyncGenerator<Progress, void, undefined> {
    const { channel, watcher } = await this.#join(downloadId);
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

  /** Joins in the same breath, lest the last other watcher takes the channel away in between. */
  async #join(downloadId: string): Promise<{ channel: Channel; watcher: Watcher }> {
    let channel = this.#channels.get(downloadId);
    if (channel === undefined) {
      const source = this.#local.get(downloadId) ?? new RemoteProgress(await this.#read(downloadId));
      if (this.#closed) throw shuttingDown();
      // While that was read, this process may have begun to work on it, or somebody to watch it.
      channel = this.#channels.get(downloadId) ?? new Channel(this.#local.get(downloadId) ?? source, this.#clock);
      this.#channels.set(downloadId, channel);
    }
    return { channel, watcher: channel.join() };
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
      const ids = [...this.#channels].flatMap(([id, { source }]) => (isOpen(source) ? [id] : []));
      if (ids.length === 0) return;
      const found = await this.#jobs.readProgress(ids);
      for (const id of ids) {
        const source = this.#channels.get(id)?.source;
        if (!isOpen(source)) continue;
        source.update(found.get(id) ?? cancelled(source.snapshot()));
      }
    } catch (error) {
      this.#log.debug("progress of other processes could not be read", { error });
    } finally {
      this.#polling = false;
    }
  }

  async #read(downloadId: string): Promise<Progress> {
    const progress = (await this.#jobs.readProgress([downloadId])).get(downloadId);
    if (progress !== undefined) return progress;
    throw new DomainError("DOWNLOAD_NOT_FOUND", `there is no download '${downloadId}'`, {
      metadata: { download_id: downloadId },
    });
  }

  async #learnEnding(progress: JobProgress): Promise<void> {
    const { downloadId } = progress;
    try {
      const found = await this.#jobs.readProgress([downloadId]);
      const { state, version, error } = found.get(downloadId) ?? cancelled(progress.snapshot());
      if (isTerminal(state)) progress.end(state, { version, error });
    } catch (error) {
      this.#log.debug("the end of a download could not be read", { downloadId, error });
    }
  }
}

/** Whether a source has to be read from the record. */
function isOpen(source: ProgressSource | undefined): source is RemoteProgress {
  return source instanceof RemoteProgress && !source.ended;
}

/** How a download ended whose record is gone: its model was deleted. */
function cancelled(last: Progress): Progress {
  return { ...last, state: "CANCELLED" };
}

function shuttingDown(): DomainError {
  return new DomainError("SHUTTING_DOWN", "the service is shutting down");
}
