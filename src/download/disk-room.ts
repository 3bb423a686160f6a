import { DomainError } from "../domain/errors.ts";
import type { BlobStore, Space } from "../domain/ports/blob-store.ts";
import type { Room } from "../domain/ports/room.ts";
import { humanBytes } from "../lib/bytes.ts";
import { type Portion, portionOf } from "../lib/portion.ts";
import { Semaphore } from "../lib/semaphore.ts";
import { MOST_QUANTUM, type RateLimiter } from "./rate-limit.ts";

const MiB = 1024 * 1024;
/** Room for the bytes of a file of unknown size is taken in steps of this. */
export const STEP = 16 * MiB;

/** What stays free by default: the larger of the two. */
const DEFAULT_HEADROOM: readonly Portion[] = [{ percent: 5 }, { bytes: 1024 * MiB }];

/** Keeps account of the room that running downloads will take, so that none begins what cannot end. */
export class DiskRoom implements Room {
  readonly #store: Pick<BlobStore, "spoolSpace">;
  readonly #headroom: readonly Portion[];
  readonly #reserved = new Map<string, number>();
  readonly #turns = new Semaphore(1);

  /** `headroom` stays free beyond all payload; by default the larger of 5 % of the disk and 1 GiB. */
  constructor(store: Pick<BlobStore, "spoolSpace">, headroom?: Portion) {
    this.#store = store;
    this.#headroom = headroom === undefined ? DEFAULT_HEADROOM : [headroom];
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

  /**
   * Reserves room step by step for bytes of which nobody knows how many they are, beyond `reserved` that are reserved for them
   * already: an endless file must not fill the disk.
   */
  stepwise(downloadId: string, reserved = 0): RateLimiter {
    let left = reserved;
    return {
      quantum: MOST_QUANTUM,
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

  /** What one more download could take now, in bytes: less than none if headroom is missing, endless in an object store. */
  async available(): Promise<number> {
    const space = await this.#store.spoolSpace();
    return (space.freeBytes ?? Number.POSITIVE_INFINITY) - this.#headroomOf(space) - this.reservedBytes;
  }

  /** A download needs nothing more. */
  free(downloadId: string): void {
    this.#reserved.delete(downloadId);
  }

  /** One at a time, so that what `wanted` makes of the bytes held so far is what is reserved. */
  async #reserve(downloadId: string, wanted: (held: number) => number): Promise<void> {
    const release = await this.#turns.acquire();
    try {
      const space = await this.#store.spoolSpace();
      const held = this.#reserved.get(downloadId) ?? 0;
      const bytes = wanted(held);
      const reserved = this.reservedBytes - held;
      const headroom = this.#headroomOf(space);
      if (bytes > 0 && space.freeBytes !== undefined && bytes + headroom + reserved > space.freeBytes) {
        throw tooLittle(bytes, space.freeBytes, { headroom, reserved });
      }
      this.#reserved.set(downloadId, bytes);
    } finally {
      release();
    }
  }

  /** The error for a download that ran into a full disk with `needed` bytes to go. */
  async ranOut(downloadId: string, needed: number, cause: unknown): Promise<DomainError> {
    const space: Space = await this.#store.spoolSpace().catch(() => ({}));
    const reserved = this.reservedBytes - (this.#reserved.get(downloadId) ?? 0);
    return tooLittle(needed, space.freeBytes ?? 0, { headroom: this.#headroomOf(space), reserved }, cause);
  }

  #headroomOf({ capacityBytes = 0 }: Space): number {
    return Math.max(...this.#headroom.map((portion) => portionOf(portion, capacityBytes)));
  }
}

function tooLittle(
  needed: number,
  free: number,
  { headroom, reserved }: { headroom: number; reserved: number },
  cause?: unknown,
): DomainError {
  const besides = [
    ...(headroom > 0 ? [`${humanBytes(headroom)} must stay free`] : []),
    ...(reserved > 0 ? [`other downloads have reserved ${humanBytes(reserved)}`] : []),
  ];
  const message = `the store's disk is too full: ${humanBytes(needed)} needed, ${humanBytes(free)} free`;
  return new DomainError("DISK_FULL", besides.length > 0 ? `${message}; ${besides.join(", ")}` : message, {
    cause,
    metadata: {
      needed_bytes: String(needed),
      free_bytes: String(free),
      reserved_bytes: String(reserved),
      headroom_bytes: String(headroom),
    },
  });
}
