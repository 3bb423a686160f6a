import { basename, dirname } from "node:path/posix";

/** The files of one copy of a model's weights: one, or the parts that it was cut into. */
export interface WeightSet<File> {
  /** Sorted by path. */
  readonly files: readonly File[];
  readonly bytes: number;
}

const PART = /-\d{5}-of-\d{5}(?=\.[a-z]+$)/;

/** Copies of weights in files whose names end so, the largest first; parts of one copy stand together. */
export function weightSets<File extends { readonly path: string; readonly size: number }>(
  files: readonly File[],
  extension: string,
): WeightSet<File>[] {
  const sets = new Map<string, File[]>();
  for (const file of files) {
    if (!file.path.endsWith(extension)) continue;
    const name = file.path.replace(PART, "");
    sets.set(name, [...(sets.get(name) ?? []), file]);
  }
  return [...sets.values()]
    .map((set) => ({
      files: set.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
      bytes: set.reduce((sum, { size }) => sum + size, 0),
    }))
    .sort((a, b) => b.bytes - a.bytes);
}

/**
 * The safetensors files that make up one model: at the top the largest copy, but the original author's own (`consolidated`)
 * only where it is alone. Where there is none at the top it is a pipeline of several models, each in its folder.
 */
export function mainSafetensors<File extends { readonly path: string; readonly size: number }>(
  files: readonly File[],
): readonly File[] {
  const all = files.filter(({ path }) => path.endsWith(".safetensors"));
  const folders = Map.groupBy(all, ({ path }) => dirname(path));
  const top = folders.get(".");
  if (top !== undefined) return largestCopy(top);
  return [...folders.values()].flatMap(largestCopy);
}

function largestCopy<File extends { readonly path: string; readonly size: number }>(
  files: readonly File[],
): readonly File[] {
  const usual = files.filter(({ path }) => !basename(path).startsWith("consolidated"));
  return weightSets(usual.length > 0 ? usual : files, ".safetensors")[0]?.files ?? [];
}
