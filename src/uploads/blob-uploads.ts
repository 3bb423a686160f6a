import type { Digest } from "../domain/digest.ts";
import { DomainError, invalidField } from "../domain/errors.ts";
import { partError } from "../domain/part-error.ts";
import type { BlobAdmissions } from "../domain/ports/blob-admissions.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { Quota } from "../domain/ports/quota.ts";
import type { Room } from "../domain/ports/room.ts";
import type { Clock } from "../lib/clock.ts";
import type { Part } from "./part.ts";
import type { Parts } from "./parts.ts";

/** Room for an upload whose size nobody says is reserved in steps of this. */
const STEP = 16 * 1024 * 1024;
/** An upload that brought nothing for so long gives way to a new one of the same blob: its client may be gone. */
const SILENT_MS = 5_000;

/** Bytes of a blob: `start` up to, not including, `end`, of `total`; where those are absent, the end of the body says. */
export interface Piece {
  /** Whether it continues what is here; else the upload begins anew. */
  readonly goesOn: boolean;
  readonly start: number;
  readonly end?: number;
  readonly total?: number;
}

/** Where the bytes of a piece come from. */
export interface Body {
  /** What a wrong length is told of. */
  readonly field: string;
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Called before the first byte is asked for. */
  begin?(): void;
  /** Ends it from this side; absent if that cannot be. */
  cut?(): void;
}

/** How far an upload is: the bytes that are here, and whether the blob is in the store. */
export interface Received {
  readonly size: number;
  readonly isComplete: boolean;
}

/** What uploads need. */
export interface UploadTools {
  readonly store: Pick<BlobStore, "stat" | "commit">;
  readonly admissions: BlobAdmissions;
  readonly room: Room;
  /** Absent without a limit. */
  readonly quota?: Quota;
  readonly parts: Parts;
  readonly clock: Clock;
}

interface Running {
  /** What it takes in; absent for what is over soon, and waited for. */
  readonly body?: Body;
  readonly ended: Promise<void>;
  heardMs: number;
}

/** Takes in the bytes of blobs, each from one client at a time, and admits them to the store once they match their digest. */
export class BlobUploads {
  readonly #tools: UploadTools;
  readonly #running = new Map<Digest, Running>();
  /** What running uploads will bring in, in bytes. */
  readonly #announced = new Map<Digest, number>();

  constructor(tools: UploadTools) {
    this.#tools = tools;
  }

  /** The size of a blob that the store has, and where it stays for a day from now at least; undefined if it is not there. */
  async find(digest: Digest): Promise<number | undefined> {
    const { admissions, store } = this.#tools;
    const size = (await admissions.renew([digest])).get(digest);
    // The record may know a blob that somebody took out of the store's folder, or cut short there.
    return size !== undefined && (await store.stat(digest))?.size === size ? size : undefined;
  }

  /** How far the upload of a blob of `total` bytes is; if all of them are here, they are verified and admitted. */
  async resume(digest: Digest, total: number): Promise<Received> {
    const { parts } = this.#tools;
    if (this.#running.get(digest)?.body) return { size: await parts.kept(digest), isComplete: false };
    return await this.#alone(digest, undefined, async () => {
      const size = await parts.kept(digest);
      if (size > 0 && size === total) {
        await this.#admit(digest, await parts.open(digest, true));
        return { size, isComplete: true };
      }
      // What is longer than the whole is no part of it.
      if (size > total) await parts.remove(digest);
      return { size: size > total ? 0 : size, isComplete: false };
    });
  }

  /**
   * Takes in a piece; what arrived of it is kept, whatever happens then.
   *
   * @throws DomainError RANGE_NOT_SATISFIABLE if the piece does not begin where the bytes that are here end, which `kept_bytes`
   * of its metadata says; CONTENT_MISMATCH, with nothing kept, if the whole is not what its digest says; FIELD_INVALID for a
   * body that is longer or shorter than its piece; OPERATION_CONFLICT while another client sends the same blob; DISK_FULL;
   * QUOTA_EXCEEDED.
   */
  async receive(digest: Digest, piece: Piece, body: Body): Promise<Received> {
    return await this.#alone(digest, body, async (running) => {
      const { parts, room } = this.#tools;
      await this.#makeRoom(digest, piece);
      try {
        const part = await parts.open(digest, piece.goesOn);
        if (part.size !== piece.start) throw wrongStart(part.size);
        // It was whole before, and could not be admitted then.
        if (!part.isSealed) await this.#append(digest, part, piece, body, running);
        // Nothing more is to be heard, and nobody else to come between.
        running.heardMs = Number.POSITIVE_INFINITY;
        const { size } = part;
        const isComplete = part.isSealed || size === (piece.total ?? size);
        if (isComplete) await this.#admit(digest, part);
        return { size, isComplete };
      } finally {
        room.free(holderOf(digest));
        this.#announced.delete(digest);
      }
    });
  }

  /** Forgets what is kept of a blob, unless somebody sends it now. */
  async discard(digest: Digest): Promise<void> {
    if (!this.#running.get(digest)?.body) await this.#alone(digest, undefined, () => this.#tools.parts.remove(digest));
  }

  /** Resolves when all that runs now has ended. */
  async settled(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  async #makeRoom(digest: Digest, { goesOn, start, total }: Piece): Promise<void> {
    const { parts, room, quota } = this.#tools;
    const missing = total === undefined ? STEP : total - start;
    await room.reserve(holderOf(digest), missing + (goesOn ? await parts.copied(digest) : 0));
    this.#announced.set(digest, total ?? STEP);
    try {
      await quota?.makeRoom([...this.#announced.values()].reduce((sum, bytes) => sum + bytes, 0));
    } catch (error) {
      this.#announced.delete(digest);
      room.free(holderOf(digest));
      throw error;
    }
  }

  async #append(digest: Digest, part: Part, { end, total }: Piece, body: Body, running: Running): Promise<void> {
    const { room, clock } = this.#tools;
    const limit = end ?? total;
    let left = total === undefined ? STEP : Number.POSITIVE_INFINITY;
    body.begin?.();
    try {
      for await (const chunk of body.chunks) {
        running.heardMs = clock.now();
        if (part.size + chunk.length > (limit ?? Number.POSITIVE_INFINITY)) throw wrongLength(body, "longer", limit);
        if (chunk.length > left) {
          await room.reserve(holderOf(digest), STEP);
          left = STEP;
        }
        left -= chunk.length;
        await part.append(chunk);
        room.spend(holderOf(digest), chunk.length);
      }
    } catch (error) {
      await part.flush().catch(() => {});
      throw error;
    }
    await part.flush();
    if (part.size < (limit ?? 0)) throw wrongLength(body, "shorter", limit);
  }

  async #admit(digest: Digest, part: Part): Promise<void> {
    const { admissions, store, parts } = this.#tools;
    const actual = await part.seal();
    if (actual !== digest) {
      await parts.remove(digest);
      throw new DomainError("CONTENT_MISMATCH", `the bytes have the digest ${actual}, not ${digest}`, {
        metadata: { expected_digest: digest, actual_digest: actual },
      });
    }
    await admissions.admit(digest, part.size, () => store.commit(digest, part.path));
    await parts.remove(digest);
  }

  /** Runs work on the part of a blob while nobody else does. */
  async #alone<Result>(
    digest: Digest,
    body: Body | undefined,
    work: (running: Running) => Promise<Result>,
  ): Promise<Result> {
    const { parts, clock } = this.#tools;
    for (let other = this.#running.get(digest); other !== undefined; other = this.#running.get(digest)) {
      if (other.body !== undefined) {
        if (other.body.cut === undefined || clock.now() - other.heardMs < SILENT_MS) {
          throw new DomainError("OPERATION_CONFLICT", `another client uploads the blob ${digest} now`);
        }
        other.body.cut();
      }
      await other.ended;
    }
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const running: Running = { body, ended, heardMs: clock.now() };
    this.#running.set(digest, running);
    try {
      return await work(running);
    } catch (error) {
      throw partError(error);
    } finally {
      try {
        await parts.rest(digest);
      } finally {
        this.#running.delete(digest);
        resolve();
      }
    }
  }
}

function holderOf(digest: Digest): string {
  return `upload ${digest}`;
}

function wrongStart(kept: number): DomainError {
  return new DomainError("RANGE_NOT_SATISFIABLE", `the next piece must begin at byte ${kept}: so many are here`, {
    metadata: { kept_bytes: `${kept}` },
  });
}

function wrongLength({ field }: Body, how: string, limit: number | undefined): DomainError {
  return invalidField(field, `the bytes that came are ${how} than announced: they should end at byte ${limit}`);
}
