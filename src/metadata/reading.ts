import { isDomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { VersionFile } from "../domain/model.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import { type BlobFile, openBlobFile, ReadBudget } from "./blob-file.ts";
import { describeProblem, MetadataProblem } from "./problem.ts";

const BUDGET_BYTES = 64 << 20;
const MAX_ERROR_LENGTH = 1000;

/** Reading what the files of one version say: shared limits, and the problems that were met. */
export class Reading {
  readonly files: readonly VersionFile[];
  readonly signal: AbortSignal;
  readonly #store: Pick<BlobStore, "read">;
  readonly #log: Logger;
  readonly #budget = new ReadBudget(BUDGET_BYTES);
  readonly #problems = new Set<string>();

  constructor(files: readonly VersionFile[], store: Pick<BlobStore, "read">, log: Logger, signal: AbortSignal) {
    this.files = files;
    this.#store = store;
    this.#log = log;
    this.signal = signal;
  }

  /** Works on one file; a problem with it is noted and leaves undefined. Rejects with the signal's reason alone. */
  async attempt<Result>(
    file: VersionFile | undefined,
    work: (file: BlobFile) => Promise<Result>,
  ): Promise<Result | undefined> {
    if (file === undefined) return undefined;
    try {
      return await work(openBlobFile(this.#store, file, this.#budget, this.signal));
    } catch (error) {
      this.signal.throwIfAborted();
      const isMeant = error instanceof MetadataProblem || isDomainError(error);
      if (!isMeant) this.#log.warn("what a file says could not be read", { path: file.path, error });
      this.note(describeProblem(file.path, error));
      return undefined;
    }
  }

  /** The file of that path, if there is one. */
  file(path: string): VersionFile | undefined {
    return this.files.find((file) => file.path === path);
  }

  note(problem: string): void {
    this.#problems.add(problem);
  }

  /** All problems in one text; undefined if there was none. */
  get error(): string | undefined {
    const text = [...this.#problems].sort().join("; ");
    if (text === "") return undefined;
    return text.length > MAX_ERROR_LENGTH ? `${text.slice(0, MAX_ERROR_LENGTH).toWellFormed()}…` : text;
  }
}
