import type { Logger } from "../domain/logger.ts";
import type { VersionFile, VersionMetadata } from "../domain/model.ts";
import type { BlobStore } from "../domain/ports/blob-store.ts";
import type { MetadataReader } from "../domain/ports/metadata.ts";
import { readConfig } from "./config-json.ts";
import { estimateMemory, type Facts } from "./facts.ts";
import { readOnnxOpset } from "./onnx.ts";
import { readGgufFacts } from "./read-gguf.ts";
import { readTensors } from "./read-safetensors.ts";
import { Reading } from "./reading.ts";
import { safetensorsFacts } from "./safetensors.ts";
import { factsOfNames, readAdapterConfig, readPipelineIndex, readTokenizerConfig } from "./side-files.ts";
import { findUnsafeFiles } from "./unsafe-files.ts";
import { mainSafetensors } from "./weights.ts";

export interface MetadataReaderOptions {
  readonly store: Pick<BlobStore, "read">;
  readonly log: Logger;
  /** For one version, in milliseconds; default 30 s. */
  readonly timeLimitMs?: number;
}

const TIME_LIMIT_MS = 30_000;
const NAMED_AS_TORCH = /\.(?:bin|pt|pth|ckpt)$/;

/** Creates a reader of headers and small files: at most 64 MiB of a version, whatever its size. */
export function createMetadataReader({
  store,
  log,
  timeLimitMs = TIME_LIMIT_MS,
}: MetadataReaderOptions): MetadataReader {
  return {
    async read(files, signal) {
      signal.throwIfAborted();
      const limit = AbortSignal.timeout(timeLimitMs);
      try {
        return await readAll(new Reading(files, store, log, AbortSignal.any([signal, limit])));
      } catch (error) {
        signal.throwIfAborted();
        if (!limit.aborted) log.warn("what the files of a version say could not be read", { error });
        return { error: limit.aborted ? `could not be read within ${timeLimitMs / 1000} s` : "could not be read" };
      }
    },
  };
}

async function readAll(reading: Reading): Promise<VersionMetadata> {
  const files = reading.files;
  const gguf = files.filter(({ path }) => path.endsWith(".gguf"));
  const safetensors = mainSafetensors(files);
  const onnx = mainOnnx(files);
  const [unsafeFiles, config, pipeline, adapter, tokenizer, ggufFacts, tensors, onnxOpset] = await Promise.all([
    findUnsafeFiles(reading),
    reading.attempt(reading.file("config.json"), readConfig),
    reading.attempt(reading.file("model_index.json"), readPipelineIndex),
    reading.attempt(reading.file("adapter_config.json"), readAdapterConfig),
    reading.attempt(reading.file("tokenizer_config.json"), readTokenizerConfig),
    readGgufFacts(reading, gguf),
    gguf.length > 0 || safetensors.length === 0 ? undefined : readTensors(reading, safetensors),
    reading.attempt(onnx, readOnnxOpset),
  ]);
  const torch = files.filter(({ path }) => NAMED_AS_TORCH.test(path) && unsafeFiles.includes(path));
  const format = formatOf({ gguf, safetensors, onnx: onnx === undefined ? [] : [onnx], pytorch: torch });
  const weights = weightFacts(format, ggufFacts, tensors && safetensorsFacts(tensors, config?.packing), torch);
  const { packing: _, ...configFacts } = config ?? {};
  const facts = merged(factsOfNames(files.map(({ path }) => path)), pipeline, configFacts, adapter, tokenizer, weights);
  const { weightBytes: _bytes, cacheBytesPerToken: _cache, ...told } = facts;
  return {
    ...told,
    format,
    onnxOpset,
    estimatedMemoryBytes: estimateMemory(facts),
    unsafeFiles,
    error: reading.error,
  };
}

/** The first of these formats that the version has files of. */
function formatOf(formats: Readonly<Record<string, readonly VersionFile[]>>): string | undefined {
  return Object.entries(formats).find(([, files]) => files.length > 0)?.[0];
}

function weightFacts(
  format: string | undefined,
  gguf: Facts,
  safetensors: Facts | undefined,
  torch: readonly VersionFile[],
): Facts {
  if (format === "gguf") return gguf;
  if (format === "safetensors") return safetensors ?? {};
  // Of pickles nothing is read, but they are hardly larger than what is in them.
  return format === "pytorch" ? { weightBytes: torch.reduce((sum, { size }) => sum + size, 0) } : {};
}

/** What several files say; the later one counts, and that something is there counts wherever it is said. */
function merged(...all: readonly (Facts | undefined)[]): Facts {
  const facts: Record<string, unknown> = {};
  for (const some of all) {
    for (const [name, value] of Object.entries(some ?? {})) {
      if (value !== undefined && value !== false) facts[name] = value;
    }
  }
  return facts as Facts;
}

/** `model.onnx` wherever it is nearest to the top, or else the first. */
function mainOnnx(files: readonly VersionFile[]): VersionFile | undefined {
  const rank = ({ path }: VersionFile) => (/(?:^|\/)model\.onnx$/.test(path) ? 0 : 1000) + path.split("/").length;
  const [first] = files.filter(({ path }) => path.endsWith(".onnx")).sort((a, b) => rank(a) - rank(b));
  return first;
}
