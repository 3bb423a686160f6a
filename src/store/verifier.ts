import type { Logger } from "../domain/logger.ts";
import type { BlobCheck, BlobStore, VerifyOptions } from "../domain/ports/blob-store.ts";
import type { DamageRecords } from "../domain/ports/damage.ts";
import type { DamagedBlob, StoredBlob } from "../domain/ports/storage.ts";

const MOST_REFS = 20;

/** What checking blobs takes. */
export interface VerifierOptions {
  readonly store: Pick<BlobStore, "verify" | "quarantine">;
  readonly damage: Pick<DamageRecords, "verified" | "declareLost" | "namedBy">;
  readonly log: Logger;
}

/** Checks blobs one by one, and settles what is found. */
export class Verifier {
  readonly #options: VerifierOptions;

  constructor(options: VerifierOptions) {
    this.#options = options;
  }

  /**
   * Reads a blob again. Undefined if it is intact, or is not what was to be checked any more; else its bytes were put aside and
   * the versions that name it are marked.
   *
   * @throws DomainError STORE_UNAVAILABLE, which says nothing of the blob; the signal's reason.
   */
  async check({ digest, size }: StoredBlob, options: VerifyOptions): Promise<DamagedBlob | undefined> {
    const { store, damage, log } = this.#options;
    const check = await this.#twice({ digest, size }, options);
    if (check.found === "intact") {
      await damage.verified(digest);
      return undefined;
    }
    if (!(await damage.declareLost(digest, () => store.quarantine(digest, check)))) return undefined;
    const found = await this.describe({ digest, size }, check.found === "missing");
    log.error("a blob of the store is damaged", { ...found });
    return found;
  }

  /** What to tell of a blob that is damaged. */
  async describe({ digest, size }: StoredBlob, missing: boolean): Promise<DamagedBlob> {
    return { digest, size, missing, modelRefs: await this.#options.damage.namedBy(digest, MOST_REFS) };
  }

  /** Reading may fail once and not again: what is bad has to be so twice. */
  async #twice({ digest }: StoredBlob, options: VerifyOptions): Promise<BlobCheck> {
    const { store } = this.#options;
    const first = await store.verify(digest, options);
    return first.found === "intact" ? first : await store.verify(digest, options);
  }
}
