import { dirname, join } from "node:path/posix";
import { z } from "zod";
import type { VersionFile } from "../domain/model.ts";
import { mapConcurrently } from "../lib/map-concurrently.ts";
import { readJson } from "./json-file.ts";
import { MetadataProblem } from "./problem.ts";
import type { Reading } from "./reading.ts";
import { readSafetensors, type SafeTensor } from "./safetensors.ts";

const CONCURRENCY = 8;
const INDEX = ".safetensors.index.json";
const INDEX_CONTENT = z.object({ weight_map: z.record(z.string(), z.string()) });

/** Reads the headers of all parts of a model and holds them to their index; undefined if one cannot be read. */
export async function readTensors(reading: Reading, parts: readonly VersionFile[]): Promise<SafeTensor[] | undefined> {
  const read = await mapConcurrently(parts, CONCURRENCY, reading.signal, async (file) => ({
    path: file.path,
    tensors: await reading.attempt(file, readSafetensors),
  }));
  const headers = new Map(read.map(({ path, tensors }) => [path, tensors]));
  const folders = new Set(parts.map(({ path }) => dirname(path)));
  const indexes = reading.files.filter(({ path }) => path.endsWith(INDEX) && folders.has(dirname(path)));
  for (const index of indexes) {
    await reading.attempt(index, async (file) => {
      const { weight_map: map } = await readJson(file, INDEX_CONTENT);
      assertIndex(dirname(index.path), new Map(Object.entries(map)), headers, reading);
    });
  }
  const tensors = read.map((part) => part.tensors);
  return tensors.every((part) => part !== undefined) ? tensors.flat() : undefined;
}

function assertIndex(
  folder: string,
  map: ReadonlyMap<string, string>,
  headers: ReadonlyMap<string, readonly SafeTensor[] | undefined>,
  reading: Reading,
): void {
  const names = new Map<string, Set<string>>();
  for (const part of new Set(map.values())) {
    const path = join(folder, part);
    if (reading.file(path) === undefined) throw new MetadataProblem(`names '${part}', which is not there`);
    const tensors = headers.get(path);
    if (tensors !== undefined) names.set(part, new Set(tensors.map(({ name }) => name)));
  }
  for (const [tensor, part] of map) {
    if (names.get(part)?.has(tensor) === false) {
      throw new MetadataProblem(`says that '${part}' holds a tensor which is not in it`);
    }
  }
}
