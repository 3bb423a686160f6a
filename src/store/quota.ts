import { DomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { Quota, QuotaRecords, QuotaShortage } from "../domain/ports/quota.ts";
import { humanBytes } from "../lib/bytes.ts";
import { Semaphore } from "../lib/semaphore.ts";
import { type CollectTools, collect } from "./collect.ts";

export interface QuotaOptions extends CollectTools {
  readonly quota: QuotaRecords;
  /** The most bytes that blobs may take. */
  readonly quotaBytes: number;
  readonly log: Logger;
}

const AT_ONCE = { graceMs: 0, dryRun: false };

/** Keeps the bytes of blobs within a limit; see {@link Quota}. What nothing needs goes first, then versions. */
export function createQuota(options: QuotaOptions): Quota {
  const { quota, quotaBytes, log } = options;
  /** Two that make room at once would make too much. */
  const turns = new Semaphore(1);

  return {
    claim: (lease, contentBytes) => makeRoom(() => quota.claim(lease, contentBytes, quotaBytes)),
    makeRoom: (bytes) => makeRoom(() => quota.shortage(bytes, quotaBytes)),
  };

  /** Frees bytes until nothing is short. */
  async function makeRoom(findShortage: () => Promise<QuotaShortage | undefined>): Promise<void> {
    const release = await turns.acquire();
    try {
      for (;;) {
        const shortage = await findShortage();
        if (shortage === undefined) return;
        const { keptBytes, reservedBytes, neededBytes } = shortage;
        if (keptBytes + reservedBytes + neededBytes > quotaBytes) throw exceeded(quotaBytes, shortage);
        if ((await collectBlobs()) > 0) continue;
        const evicted = await quota.evict();
        // Nothing that could go any more: it came into use meanwhile.
        if (evicted === undefined) throw exceeded(quotaBytes, shortage);
        log.warn("a version was evicted to keep the quota", { ...evicted, quotaBytes });
        await collectBlobs();
      }
    } finally {
      release();
    }
  }

  async function collectBlobs(): Promise<number> {
    return (await collect(options, AT_ONCE)).blobCount;
  }
}

function exceeded(quotaBytes: number, shortage: QuotaShortage): DomainError {
  const { neededBytes, usedBytes, keptBytes, pinnedBytes, reservedBytes } = shortage;
  const besides = [
    ...(keptBytes > 0 ? [`${humanBytes(keptBytes)} of that pinned or in use (${humanBytes(pinnedBytes)} pinned)`] : []),
    ...(reservedBytes > 0 ? [`other downloads have reserved ${humanBytes(reservedBytes)}`] : []),
  ];
  const message = `the store's quota is too small: ${humanBytes(neededBytes)} needed, ${humanBytes(usedBytes)} of ${humanBytes(quotaBytes)} used`;
  return new DomainError("QUOTA_EXCEEDED", besides.length > 0 ? `${message}; ${besides.join(", ")}` : message, {
    metadata: {
      needed_bytes: String(neededBytes),
      used_bytes: String(usedBytes),
      quota_bytes: String(quotaBytes),
      kept_bytes: String(keptBytes),
      pinned_bytes: String(pinnedBytes),
    },
  });
}
