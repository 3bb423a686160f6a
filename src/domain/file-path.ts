import { invalidField } from "./errors.ts";

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what the rule forbids.
const SEGMENT = /^[^/\\:\u0000-\u001f\u007f]+$/;

/** Whether `path` may name a file inside a version: relative, of plain segments, at most 1024 bytes. */
export function isFilePath(path: string): boolean {
  if (Buffer.byteLength(path) > 1024 || !path.isWellFormed()) return false;
  return path.split("/").every((segment) => SEGMENT.test(segment) && segment !== "." && segment !== "..");
}

/** Checks the path of a file that comes in as `field`; FIELD_INVALID if it could lead out of its folder or is malformed. */
export function assertFilePath(field: string, path: string): void {
  if (!isFilePath(path)) {
    throw invalidField(
      field,
      "must be a relative path of at most 1024 bytes without empty, '.' or '..' segments, backslashes, colons or control characters",
    );
  }
}

/** Paths that can lie in one folder together: none twice, and none that is a folder of another. */
export class DistinctPaths {
  readonly #ignoreCase: boolean;
  readonly #files = new Set<string>();
  readonly #folders = new Set<string>();

  /** With `ignoreCase`, also where a file system takes capitals and small letters for the same. */
  constructor({ ignoreCase = false }: { ignoreCase?: boolean } = {}) {
    this.#ignoreCase = ignoreCase;
  }

  /** Adds a path that comes in as `field`; FIELD_INVALID if it clashes with an earlier one. */
  add(field: string, given: string): void {
    const path = this.#ignoreCase ? given.toLowerCase() : given;
    if (this.#files.has(path)) throw invalidField(field, `must be distinct: '${given}' is there twice`);
    if (this.#folders.has(path)) throw invalidField(field, `must not be a folder of another file: '${given}'`);
    this.#files.add(path);
    for (let slash = path.indexOf("/"); slash > 0; slash = path.indexOf("/", slash + 1)) {
      const folder = path.slice(0, slash);
      if (this.#files.has(folder)) throw invalidField(field, `must not lie below another file: '${folder}'`);
      this.#folders.add(folder);
    }
  }
}

/** Checks that paths can lie in one folder together; `fieldOf` names the field of the path at an index, for the error. */
export function assertDistinctPaths(
  paths: readonly string[],
  fieldOf: (index: number) => string,
  options?: { ignoreCase?: boolean },
): void {
  const distinct = new DistinctPaths(options);
  for (const [index, path] of paths.entries()) distinct.add(fieldOf(index), path);
}
