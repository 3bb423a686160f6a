import type { Download } from "../domain/download.ts";
import { DomainError, isDomainError } from "../domain/errors.ts";
import type { Credential } from "../domain/source.ts";

/** What calls prove to sources with: in memory only, until their downloads end. */
export class CallCredentials {
  readonly #credentials = new Map<string, Credential>();
  readonly #starting = new Set<Promise<unknown>>();

  /** Starts a download and remembers the call's credential for it, if it is the first of that download. */
  async keep<Result extends { download: Download }>(
    credential: Credential | undefined,
    start: () => Promise<Result>,
  ): Promise<Result> {
    if (credential === undefined) return start();
    const remember = async () => {
      const result = await start();
      const { id } = result.download;
      if (!this.#credentials.has(id)) this.#credentials.set(id, credential);
      return result;
    };
    const starting = remember();
    this.#starting.add(starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(starting);
    }
  }

  /** The credential for a download. Waits for calls that are starting one: it may be this, claimed already. */
  async of(downloadId: string): Promise<Credential | undefined> {
    await Promise.allSettled(this.#starting);
    return this.#credentials.get(downloadId);
  }

  /** The refusal of a source by a download that was asked for with a token: where that is gone, it says so. */
  async explain(downloadId: string, error: unknown): Promise<unknown> {
    if (!isDomainError(error, "SOURCE_FORBIDDEN") || (await this.of(downloadId)) !== undefined) return error;
    const lost = "the token of the call that asked for it is gone, since it is kept only until the service stops";
    const { message, cause, metadata } = error;
    return new DomainError("SOURCE_FORBIDDEN", `${message}; ${lost}: start the download again with it`, {
      cause,
      metadata,
    });
  }

  forget(downloadId: string): void {
    this.#credentials.delete(downloadId);
  }

  /** Forgets those whose download has ended elsewhere. */
  async tidy(isLive: (downloadId: string) => Promise<boolean>): Promise<void> {
    for (const downloadId of this.#credentials.keys()) {
      if (!(await isLive(downloadId))) this.#credentials.delete(downloadId);
    }
  }
}
