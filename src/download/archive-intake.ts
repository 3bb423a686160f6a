import { basename } from "node:path";
import { type Digest, hexOfDigest } from "../domain/digest.ts";
import type { VersionFile } from "../domain/model.ts";
import { Semaphore } from "../lib/semaphore.ts";
import type { Job, JobTools } from "./job.ts";
import { record } from "./job-record.ts";
import type { RateLimiter } from "./rate-limit.ts";
import { createFile, removePart } from "./transfer/parts/part-files.ts";
import { listParts, type PartName, partName } from "./transfer/parts/part-names.ts";

/** Files that are in the spool at once: of small ones most of the time goes by in the record. */
const FILES_AT_ONCE = 8;

interface OpenFile {
  readonly path: string;
  readonly size: number;
  readonly name: PartName;
  /** Gives the file's place in the spool back. */
  readonly leave: () => void;
}

/** Takes the files of one archive through the spool into the store, the next ones while earlier ones are admitted. */
export class ArchiveIntake {
  readonly #tools: JobTools;
  readonly #job: Job;
  readonly #room: RateLimiter;
  readonly #places = new Semaphore(FILES_AT_ONCE);
  readonly #free: PartName[];
  readonly #stop = new AbortController();
  readonly #admissions: Promise<void>[] = [];
  readonly #files: VersionFile[] = [];
  #open: OpenFile | undefined;
  /** Fires when the job is to stop, or when a file could not be admitted. */
  readonly signal: AbortSignal;

  private constructor(tools: JobTools, job: Job, reserved: number, places: readonly PartName[]) {
    this.#tools = tools;
    this.#job = job;
    this.#room = tools.room.stepwise(job.lease.downloadId, reserved);
    this.#free = [...places];
    this.signal = AbortSignal.any([job.signal, this.#stop.signal]);
  }

  /** Begins with an archive, for whose files `reserved` bytes of room are reserved already. */
  static async begin(tools: JobTools, job: Job, archive: Digest, reserved: number): Promise<ArchiveIntake> {
    const { lease } = job;
    const { spoolDirectory } = tools.store;
    const places = Array.from({ length: FILES_AT_ONCE }, (_, index) =>
      partName(spoolDirectory, `unpack-${hexOfDigest(archive)}-${index}`, lease),
    );
    // An earlier try may have been killed in the middle of a file.
    for (const { folder } of places) {
      const parts = await listParts(spoolDirectory, basename(folder));
      for (const part of parts) if (part.downloadId === lease.downloadId) await removePart(part);
    }
    return new ArchiveIntake(tools, job, reserved, places);
  }

  /** Makes an empty file for the next `size` bytes, once there is room for them, and answers where it is. */
  async open(path: string, size: number): Promise<string> {
    const release = await this.#places.acquire(this.signal);
    const name = this.#free.pop();
    if (name === undefined) throw new Error("there are as many places as permits");
    const leave = () => {
      this.#free.push(name);
      release();
    };
    this.#open = { path, size, name, leave };
    await this.#room.take(size, this.signal);
    const file = await createFile(name);
    await file.close();
    return name.dataPath;
  }

  /** The file that was opened last is written and synced: it goes into the store. */
  written(digest: Digest): void {
    const file = this.#open;
    if (file === undefined) throw new Error("no file was opened");
    this.#open = undefined;
    this.#tools.room.spend(this.#job.lease.downloadId, file.size);
    this.#admissions.push(this.#admit(file, digest).catch((error: unknown) => this.#stop.abort(error)));
  }

  /** All files, once they are in the store. */
  async finish(): Promise<readonly VersionFile[]> {
    await Promise.all(this.#admissions);
    this.signal.throwIfAborted();
    return this.#files;
  }

  /** Waits for what is under way and leaves nothing in the spool. */
  async close(): Promise<void> {
    await Promise.all(this.#admissions);
    if (this.#open !== undefined) await removePart(this.#open.name);
  }

  async #admit({ path, size, name, leave }: OpenFile, digest: Digest): Promise<void> {
    const { jobs, store } = this.#tools;
    const { lease } = this.#job;
    try {
      const place = () => store.commit(digest, name.dataPath);
      await record(this.#tools, this.#job, () => jobs.admit(lease, digest, size, place));
      this.#files.push({ path, size, digest });
    } finally {
      await removePart(name);
      leave();
    }
  }
}
