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

/**
 * Checks that files can lie in one folder together: no path twice, and none that is a folder of another.
 * `fieldOf` names the field of the path at an index, for the error.
 */
export function assertDistinctPaths(paths: readonly string[], fieldOf: (index: number) => string): void {
  const files = new Set<string>();
  const folders = new Set<string>();
  for (const [index, path] of paths.entries()) {
    if (files.has(path)) throw invalidField(fieldOf(index), `must be distinct: '${path}' is there twice`);
    if (folders.has(path)) throw invalidField(fieldOf(index), `must not be a folder of another file: '${path}'`);
    files.add(path);
    for (let slash = path.indexOf("/"); slash > 0; slash = path.indexOf("/", slash + 1)) {
      const folder = path.slice(0, slash);
      if (files.has(folder)) throw invalidField(fieldOf(index), `must not lie below another file: '${folder}'`);
      folders.add(folder);
    }
  }
}
