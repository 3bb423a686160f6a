import { z } from "zod";
import type { BlobFile } from "./blob-file.ts";
import { type Facts, keptText } from "./facts.ts";
import { readJson } from "./json-file.ts";

const ADAPTER = z.object({
  base_model_name_or_path: z.string().nullish().catch(undefined),
  r: z
    .int()
    .positive()
    .max(2 ** 31)
    .optional()
    .catch(undefined),
});

const TOKENIZER_CONFIG = z.object({ chat_template: z.unknown().optional() });
const PIPELINE = z.object({ _class_name: z.string() });

const TOKENIZERS = new Set([
  "tokenizer.json",
  "tokenizer.model",
  "vocab.json",
  "vocab.txt",
  "spiece.model",
  "tekken.json",
]);
const CHAT_TEMPLATES = new Set(["chat_template.jinja", "chat_template.json"]);

/** Reads `adapter_config.json`: what a LoRA is applied to. */
export async function readAdapterConfig(file: BlobFile): Promise<Facts> {
  const { base_model_name_or_path: base, r } = await readJson(file, ADAPTER);
  const baseModel = keptText(base ?? undefined);
  return { adapterRank: r, baseModels: baseModel === undefined ? undefined : [baseModel] };
}

/** Reads `tokenizer_config.json`: whether it brings a chat template. */
export async function readTokenizerConfig(file: BlobFile): Promise<Facts> {
  const { chat_template: template } = await readJson(file, TOKENIZER_CONFIG);
  return { hasChatTemplate: (typeof template === "string" || Array.isArray(template)) && template.length > 0 };
}

/** Reads `model_index.json` of a pipeline of several models. */
export async function readPipelineIndex(file: BlobFile): Promise<Facts> {
  return { architecture: keptText((await readJson(file, PIPELINE))._class_name) };
}

/** What the names of files say; only those at the top count. */
export function factsOfNames(paths: readonly string[]): Facts {
  return {
    hasTokenizer: paths.some((path) => TOKENIZERS.has(path)),
    hasChatTemplate: paths.some((path) => CHAT_TEMPLATES.has(path)),
  };
}
