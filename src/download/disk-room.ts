import { DomainError } from "../domain/errors.ts";
import type { BlobStore, Space } from "../domain/ports/blob-store.ts";
import { humanBytes } from "../lib/bytes.ts";
import { Semaphore } from "../lib/semaphore.ts";
import type { RateLimiter } from "./rate-limit.ts";

const MiB = 1024 * 1024;
const LEAST_HEADROOM = 64 * MiB;
const MOST_HEADROOM = 1024 * MiB;
const STEP = 16 * MiB;

/** What stays free by default: a hundredth of the disk, but at least 64 MiB and at most 1 GiB. */
function defaultHeadroom({ capacityBytes = 0 }: Space): number {
  return Math.min(MOST_HEADROOM, Math.max(LEAST_HEADROOM, Math.floor(capacityBytes / 100)));
}

/** Keeps account of the room that running downloads will take, so that none begins what cannot end. */
export class DiskRoom {
  readonly #store: Pick<BlobStore, "space">;
  readonly #headroomBytes: number | undefined;
  readonly #reserved = new Map<string, number>();
  readonly #turns = new Semaphore(1);

  /** `headroomBytes` stay free beyond all payload; the default depends on the disk. */
  constructor(store: Pick<BlobStore, "space">, headroomBytes?: number) {
    this.#store = store;
    this.#headroomBytes = headroomBytes;
  }

  /** Reserves `bytes` for a download in place of what it had reserved; DISK_FULL if they are not there. */
  reserve(downloadId: string, bytes: number): Promise<void> {
    return this.#reserve(downloadId, () => bytes);
  }

  /** So many reserved bytes were written, and count as used by the disk now; fewer than none if what was written is gone. */
  spend(downloadId: string, bytes: number): void {
    const left = this.#reserved.get(downloadId);
    if (left !== undefined) this.#reserved.set(downloadId, Math.max(0, left - bytes));
  }

  /** Reserves room step by step for the bytes of a file whose size nobody knows: an endless one must not fill the disk. */
  stepwise(downloadId: string): RateLimiter {
    let left = 0;
    return {
      take: async (bytes) => {
        left -= bytes;
        if (left >= 0) return;
        const step = Math.max(STEP, bytes);
        left += step;
        await this.#reserve(downloadId, (held) => held + step);
      },
    };
  }

  /** What running downloads will still write, in bytes. */
  get reservedBytes(): number {
    return [...this.#reserved.values()].reduce((sum, part) => sum + part, 0);
  }

  /** A download needs nothing more. */
  free(downloadId: string): void {
    this.#reserved.delete(downloadId);
  }

  /** One at a time, so that what `wanted` makes of the bytes held so far is what is reserved. */
  async #reserve(downloadId: string, wanted: (held: number) => number): Promise<void> {
    const release = await this.#turns.acquire();
    try {
      const space = await this.#store.space();
      const held = this.#reserved.get(downloadId) ?? 0;
      const bytes = wanted(held);
      const reserved = this.reservedBytes - held;
      const headroom = this.#headroomBytes ?? defaultHeadroom(space);
      if (bytes > 0 && space.freeBytes !== undefined && bytes + headroom + reserved > space.freeBytes) {
        throw tooLittle(bytes, space.freeBytes, { headroom, reserved });
      }
      this.#reserved.set(downloadId, bytes);
    } finally {
      release();
    }
  }

  /** The error for a download that ran into a full disk with `needed` bytes to go. */
  async ranOut(needed: number, cause: unknown): Promise<DomainError> {
    const space: Space = await this.#store.space().catch(() => ({}));
    return tooLittle(needed, space.freeBytes ?? 0, {}, cause);
  }
}

function tooLittle(
  needed: number,
  free: number,
  { headroom = 0, reserved = 0 }: { headroom?: number; reserved?: number },
  cause?: unknown,
): DomainError {
  const besides = [
    ...(headroom > 0 ? [`${humanBytes(headroom)} must stay free`] : []),
    ...(reserved > 0 ? [`other downloads have reserved ${humanBytes(reserved)}`] : []),
  ];
  const message = `the store's disk is too full: ${humanBytes(needed)} needed, ${humanBytes(free)} free`;
  return new DomainError("DISK_FULL", besides.length > 0 ? `${message}; ${besides.join(", ")}` : message, {
    cause,
    metadata: { needed_bytes: String(needed), free_bytes: String(free) },
  });
}
