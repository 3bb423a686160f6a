import type { VersionFile } from "../domain/model.ts";
import { mapConcurrently } from "../lib/map-concurrently.ts";
import type { Facts } from "./facts.ts";
import { type GgufHeader, ggufFacts, readGguf, readGgufFileType } from "./gguf.ts";
import type { Reading } from "./reading.ts";
import { weightSets } from "./weights.ts";

const CONCURRENCY = 8;
const MAX_COPIES = 64;
/** What projects images into a model is a GGUF file of its own, beside the model's. */
const PROJECTOR = /mmproj/i;

/** Loaded for the names of types alone: it is large, and most models come without. */
const loadLibrary = () => import("@huggingface/gguf");

/** Reads the largest copy of a model in GGUF, and of the others how they are quantized. */
export async function readGgufFacts(reading: Reading, files: readonly VersionFile[]): Promise<Facts> {
  const models = files.filter(({ path }) => !PROJECTOR.test(path));
  const [main, ...others] = weightSets(models.length > 0 ? models : files, ".gguf");
  if (main === undefined) return {};
  const { signal } = reading;
  const headers = await mapConcurrently(main.files, CONCURRENCY, signal, (file) => reading.attempt(file, readGguf));
  const [first, ...parts] = headers;
  if (first === undefined) return {};
  const { GGMLFileQuantizationType: fileTypes, GGMLQuantizationType: tensorTypes } = await loadLibrary();
  const fileType = first.values.get("general.file_type");
  const typeName = typeof fileType === "number" ? fileTypes[fileType] : tensorTypes[mostUsed([first, ...parts]) ?? -1];
  const facts = ggufFacts(first, typeName);

  const types = await mapConcurrently(others.slice(0, MAX_COPIES), CONCURRENCY, signal, ({ files: [file] }) =>
    reading.attempt(file, readGgufFileType),
  );
  const names = types
    .map((type) => (type === undefined ? undefined : fileTypes[type]))
    .filter((name) => name !== undefined);
  const all = [...new Set([typeName, ...names])].filter((name) => name !== undefined);
  const isWhole = headers.every((header) => header !== undefined);
  return {
    ...facts,
    ...(all.length > 1 && { quantization: all.join(","), precision: undefined }),
    ...(isWhole && {
      parameterCount: headers.reduce((sum, { parameterCount }) => sum + parameterCount, 0),
      weightBytes: headers.reduce((sum, { tensorBytes }) => sum + tensorBytes, 0),
    }),
  };
}

function mostUsed(headers: readonly (GgufHeader | undefined)[]): number | undefined {
  const [most] = headers.flatMap((header) => [...(header?.tensorTypes ?? [])]).sort(([, a], [, b]) => b - a);
  return most?.[0];
}
