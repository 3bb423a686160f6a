import { createHash } from "node:crypto";
import { DomainError, invalidField } from "../domain/errors.ts";
import { assertDistinctPaths, assertFilePath } from "../domain/file-path.ts";
import type { ResolveRequest } from "../domain/ports/sources.ts";
import { compileGlob } from "../lib/glob.ts";

/** The most files that a source may have. */
export const MAX_FILES = 100_000;

/** Which files to take, as globs; an ignored one is left out whatever allows it. */
export interface Patterns {
  readonly allowPatterns: readonly string[];
  readonly ignorePatterns: readonly string[];
}

/** A request's patterns, or the source's own if it has none. */
export function patternsOf(request: ResolveRequest, source?: Patterns): Patterns {
  const isSaid = request.allowPatterns.length > 0 || request.ignorePatterns.length > 0;
  return isSaid || source === undefined ? request : source;
}

/** Patterns, ready to be asked. */
export interface Selection {
  /** Whether a path is among those to take, were none ignored. */
  allows(path: string): boolean;
  ignores(path: string): boolean;
  takes(path: string): boolean;
}

/** Compiles patterns. */
export function compileSelection({ allowPatterns, ignorePatterns }: Patterns): Selection {
  const allow = allowPatterns.map(compilePattern);
  const ignore = ignorePatterns.map(compilePattern);
  const allows = (path: string) => allow.length === 0 || allow.some((matches) => matches(path));
  const ignores = (path: string) => ignore.some((matches) => matches(path));
  return { allows, ignores, takes: (path) => allows(path) && !ignores(path) };
}

/**
 * Takes the files that the patterns want, or else that `takes` does, and checks that they can lie in one folder.
 *
 * The globs are those of Hugging Face's own tools: `*` also matches `/`, and a glob that ends in `/` means all that lies in
 * the folder. SOURCE_FILE_NOT_FOUND if nothing is left; FIELD_INVALID for a path that no version can have.
 */
export function selectFiles<File extends { readonly path: string }>(
  files: readonly File[],
  { allowPatterns, ignorePatterns }: Patterns,
  takes?: (file: File) => boolean,
): File[] {
  const selection = compileSelection({ allowPatterns, ignorePatterns });
  const selected = files.filter(takes ?? (({ path }) => selection.takes(path)));
  if (selected.length === 0) throw nothingSelected(files.length, allowPatterns, ignorePatterns);
  for (const { path } of selected) assertFilePath(`the source's file '${path}'`, path);
  assertDistinctPaths(
    selected.map(({ path }) => path),
    (index) => `the source's file '${selected[index]?.path}'`,
  );
  return selected;
}

/** FIELD_INVALID for a revision of a source that has none. */
export function assertNoRevision({ revision }: ResolveRequest): void {
  if (revision !== "") throw invalidField("revision", "must be empty: this kind of source has no revisions");
}

/** A name for bytes whose digest is not known yet, of fixed length and without what the parts say. */
export function identityOf(...parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

function compilePattern(pattern: string): (path: string) => boolean {
  return compileGlob(pattern.endsWith("/") ? `${pattern}*` : pattern);
}

function nothingSelected(count: number, allow: readonly string[], ignore: readonly string[]): DomainError {
  const quoted = (patterns: readonly string[]) => patterns.map((pattern) => `'${pattern}'`).join(", ");
  const rules = [
    ...(allow.length > 0 ? [`match ${quoted(allow)}`] : []),
    ...(ignore.length > 0 ? [`are not ignored by ${quoted(ignore)}`] : []),
  ];
  const message =
    count === 0 ? "the source has no files" : `none of the source's ${count} files ${rules.join(" and ")}`;
  return new DomainError("SOURCE_FILE_NOT_FOUND", message);
}
