import { type DomainError, invalidField } from "../../domain/errors.ts";
import { assertDistinctPaths, assertFilePath } from "../../domain/file-path.ts";
import type { ArchiveEntry } from "./unpack-messages.ts";

/** Entries of one archive, its folders included. */
export const MOST_ENTRIES = 100_000;

/** Of a name that nobody checked yet, so much is shown. */
const SHOWN_CHARACTERS = 200;

const KINDS: Readonly<Record<string, string>> = {
  symlink: "a symbolic link",
  link: "a hard link",
  "character-device": "a character device",
  "block-device": "a block device",
  fifo: "a named pipe",
  sparse: "a file with holes",
};

/** The paths that the files of one archive may have, checked as its entries come. */
export class EntryRules {
  readonly #archive: string;
  readonly #paths = new Set<string>();
  #entries = 0;

  /** `archive` is its name for messages. */
  constructor(archive: string) {
    this.#archive = archive;
  }

  /**
   * The path that an entry has as a file of a version; undefined for a folder, which is nothing by itself. FIELD_INVALID, naming
   * archive and entry, for links, devices and all else that is no file, a path that leads out, one that is there twice, and
   * one entry too many.
   */
  pathOf({ name, type }: ArchiveEntry): string | undefined {
    const field = `${this.#archive}, its entry '${name.slice(0, SHOWN_CHARACTERS)}'`;
    this.#entries += 1;
    if (this.#entries > MOST_ENTRIES) throw this.broken(`must have at most ${MOST_ENTRIES} entries`);
    const isFolder = type === "directory";
    if (!isFolder && type !== "file" && type !== "contiguous-file") {
      throw invalidField(field, `must be a file or a folder: it is ${KINDS[type] ?? "of an unknown kind"}`);
    }
    const path = plainPath(name, isFolder);
    if (isFolder && path === "") return undefined;
    assertFilePath(field, path);
    if (isFolder) return undefined;
    if (this.#paths.has(path)) throw invalidField(field, "must be distinct: it is there twice");
    this.#paths.add(path);
    return path;
  }

  /** FIELD_INVALID for paths that cannot lie in one folder; to be asked when all have come. */
  assertDistinct(): void {
    const paths = [...this.#paths];
    assertDistinctPaths(paths, (index) => `${this.#archive}, its entry '${paths[index]}'`);
  }

  /** FIELD_INVALID for an archive that breaks a rule as a whole. */
  broken(rule: string): DomainError {
    return invalidField(this.#archive, rule);
  }
}

/** A name as tar has it, which often begins with `./`, as a path. */
function plainPath(name: string, isFolder: boolean): string {
  const relative = name.replace(/^(?:\.\/)+/, "");
  if (!isFolder) return relative;
  const folder = relative.replace(/\/+$/, "");
  // Of an absolute path nothing may be left that looks like another.
  return folder === "" && relative !== "" ? relative : folder === "." ? "" : folder;
}
