import type { Digest } from "../domain/digest.ts";
import { isDomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { DamagedVersion, DamageRecords } from "../domain/ports/damage.ts";
import type { Downloads } from "../domain/ports/downloads.ts";
import { escapeGlob } from "../lib/glob.ts";

const BATCH = 100;

export interface RepairsOptions {
  readonly damage: Pick<DamageRecords, "unrepaired">;
  readonly downloads: Pick<Downloads, "start">;
  readonly log: Logger;
}

/** Gets lost bytes again from where they came from. */
export class Repairs {
  readonly #options: RepairsOptions;
  /** Versions that nothing can be done for, which is said once. */
  readonly #refused = new Set<string>();

  constructor(options: RepairsOptions) {
    this.#options = options;
  }

  /**
   * Starts downloads that bring lost bytes back: of a version's damaged files alone, at its own revision; where several versions
   * miss the same, for one of them. A version whose last one failed is left alone for `restMs`.
   */
  async start(restMs: number): Promise<void> {
    const onTheirWay = new Set<Digest>();
    for (const version of await this.#options.damage.unrepaired(restMs, BATCH)) {
      if (version.lost.every((digest) => onTheirWay.has(digest))) continue;
      if (await this.#repair(version)) for (const digest of version.lost) onTheirWay.add(digest);
    }
  }

  async #repair({ modelId, version, resolvedRevision, damagedFiles, credential }: DamagedVersion): Promise<boolean> {
    const { downloads, log } = this.#options;
    const about = { modelId, version };
    const key = `${modelId}@${version}`;
    try {
      const { id } = await downloads.start({
        modelId,
        revision: resolvedRevision,
        allowPatterns: damagedFiles.map(escapeGlob),
        ignorePatterns: [],
        priority: 0,
        credential: credential === "" ? undefined : { name: credential },
        repairs: version,
      });
      this.#refused.delete(key);
      log.warn("damaged files of a version are downloaded again", {
        ...about,
        downloadId: id,
        files: damagedFiles.length,
      });
      return true;
    } catch (error) {
      if (!isDomainError(error) || error.reason === "DATABASE_UNAVAILABLE") throw error;
      if (!this.#refused.has(key))
        log.error("damaged files of a version cannot be downloaded again", { ...about, error });
      this.#refused.add(key);
      return false;
    }
  }
}
