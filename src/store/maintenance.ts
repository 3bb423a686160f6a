import type { Logger } from "../domain/logger.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { DamageRecords } from "../domain/ports/damage.ts";
import type { Downloads } from "../domain/ports/downloads.ts";
import type { BlobRecords, Storage } from "../domain/ports/storage.ts";
import { Repairs } from "./repairs.ts";
import { Scrubber } from "./scrubber.ts";
import { createStorage } from "./storage.ts";
import { Verifier } from "./verifier.ts";

export interface MaintenanceOptions {
  readonly store: BlobStore;
  readonly records: BlobRecords;
  readonly damage: DamageRecords;
  /** Get lost bytes again; while they run, nothing is checked in the background. */
  readonly downloads: { readonly downloads: Pick<Downloads, "start">; reservedBytes(): number };
  /** The most bytes that blobs may take; absent for no quota. */
  readonly quotaBytes?: number;
  /** Bytes a second that are read in the background; absent for none. */
  readonly scrubRate?: number;
  readonly log: Logger;
}

/** The care for a store: on demand, and in the background. */
export interface Maintenance {
  readonly storage: Storage;
  /** Begins to work in the background. */
  start(): void;
  /** Resolves when that has ended. */
  stop(): Promise<void>;
}

/** Joins a store with what looks after it. */
export function createMaintenance(options: MaintenanceOptions): Maintenance {
  const { store, records, damage, downloads, quotaBytes, scrubRate, log } = options;
  const reservedBytes = () => downloads.reservedBytes();
  const verifier = new Verifier({ store, damage, log });
  const repairs = new Repairs({ damage, downloads: downloads.downloads, log });
  const isBusy = () => reservedBytes() > 0;
  const scrubber = new Scrubber({ store, damage, verifier, repairs, log, rate: scrubRate, isBusy });
  return {
    storage: createStorage({ store, records, damage, verifier, repairs, reservedBytes, quotaBytes }),
    start: () => scrubber.start(),
    stop: () => scrubber.stop(),
  };
}
