import { randomUUID } from "node:crypto";
import type { Logger } from "../domain/logger.ts";
import type { BlobAdmissions } from "../domain/ports/blob-admissions.ts";
import type { BlobHandler } from "../domain/ports/blob-handlers.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { MetadataReader } from "../domain/ports/metadata.ts";
import type { Models } from "../domain/ports/models.ts";
import type { Quota } from "../domain/ports/quota.ts";
import type { Room } from "../domain/ports/room.ts";
import type { VersionMaker } from "../domain/ports/version-maker.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { BlobUploads } from "./blob-uploads.ts";
import { createVersion } from "./create-version.ts";
import { importFiles } from "./import-files.ts";
import { PartFiles } from "./part-files.ts";
import { Parts } from "./parts.ts";
import { createReceiveHandler } from "./receive.ts";

export interface UploadsOptions {
  readonly store: BlobStore;
  readonly admissions: BlobAdmissions;
  readonly models: Models;
  /** Room for what comes is reserved here. */
  readonly room: Room;
  /** Absent without a limit. */
  readonly quota?: Quota;
  /** Reads what the files of a new version say; without it, versions say nothing of them. */
  readonly metadata?: MetadataReader;
  /** Whether no other process can use the store's spool. Default false. */
  readonly exclusive?: boolean;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** The ways in for files that their owner sends. */
export interface Uploads {
  /** Answers PUT of a blob. */
  readonly receive: BlobHandler;
  readonly versions: VersionMaker;
  /** Begins to take abandoned uploads away. */
  start(): void;
  /** Waits for what still runs, whose clients are gone, and closes all files. */
  stop(): Promise<void>;
}

const SWEEP_MS = 10 * 60_000;
const ABANDONED_MS = 24 * 3600_000;

/** Builds the uploads of a process. */
export function createUploads(options: UploadsOptions): Uploads {
  const { store, admissions, room, quota, log, clock = systemClock } = options;
  const parts = new Parts(new PartFiles(store.spoolDirectory, randomUUID(), options.exclusive ?? false));
  const uploads = new BlobUploads({ store, admissions, room, quota, parts, clock });
  const sweep = async () => {
    try {
      await parts.sweep(clock.date().getTime() - ABANDONED_MS);
    } catch (error) {
      log.warn("abandoned uploads could not be swept", { error });
    }
  };
  let stopSweeps: (() => void) | undefined;
  return {
    receive: createReceiveHandler(uploads),
    versions: {
      create: (modelId, version, signal) => createVersion(options, modelId, version, signal),
      async import(incoming, signal) {
        const { modelId, files } = await importFiles({ uploads, models: options.models }, incoming, signal);
        const version = { files, resolvedRevision: "", license: "", labels: {} };
        return await createVersion(options, modelId, version, signal);
      },
    },
    start() {
      stopSweeps = clock.every(SWEEP_MS, () => void sweep());
      void sweep();
    },
    async stop() {
      stopSweeps?.();
      await uploads.settled();
      await parts.close();
    },
  };
}
