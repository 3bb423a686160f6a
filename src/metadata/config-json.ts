import { z } from "zod";
import type { BlobFile } from "./blob-file.ts";
import { cacheBytesPerToken, type Facts, keptText, latentCacheBytesPerToken } from "./facts.ts";
import { readJson } from "./json-file.ts";

/** How the weights are packed, where a configuration says that they are. */
export interface Packing {
  /** The method, such as `gptq`. */
  readonly method: string;
  /** Bits of one weight. */
  readonly bits?: number;
}

/** What a `config.json` says. */
export interface ModelConfig extends Facts {
  readonly packing?: Packing;
}

// A field that is not what it should be is as good as absent: the others still count.
const count = z
  .int()
  .positive()
  .max(2 ** 31)
  .optional()
  .catch(undefined);
const word = z.string().optional().catch(undefined);

const DIMENSIONS = z.object({
  max_position_embeddings: count,
  n_positions: count,
  n_ctx: count,
  max_sequence_length: count,
  seq_length: count,
  num_hidden_layers: count,
  n_layer: count,
  num_attention_heads: count,
  n_head: count,
  num_key_value_heads: count,
  hidden_size: count,
  n_embd: count,
  head_dim: count,
  kv_lora_rank: count,
  qk_rope_head_dim: count,
  is_decoder: z.boolean().optional().catch(undefined),
  torch_dtype: word,
  dtype: word,
});

const QUANTIZATION = z.object({
  quant_method: word,
  bits: count,
  load_in_4bit: z.boolean().optional().catch(undefined),
  load_in_8bit: z.boolean().optional().catch(undefined),
  config_groups: z
    .record(z.string(), z.object({ weights: z.object({ num_bits: count }).optional() }))
    .optional()
    .catch(undefined),
});

const CONFIG = DIMENSIONS.extend({
  model_type: word,
  architectures: z.array(z.string()).optional().catch(undefined),
  text_config: DIMENSIONS.optional().catch(undefined),
  llm_config: DIMENSIONS.optional().catch(undefined),
  quantization_config: QUANTIZATION.optional().catch(undefined),
});

const PRECISIONS: Readonly<Record<string, string>> = {
  float64: "fp64",
  float32: "fp32",
  float16: "fp16",
  bfloat16: "bf16",
};

/** Reads what transformers keeps of a model beside its weights. */
export async function readConfig(file: BlobFile): Promise<ModelConfig> {
  const config = await readJson(file, CONFIG);
  // Of a model that also sees or hears, the part that reads and writes text decides.
  const text = { ...config, ...defined(config.text_config ?? config.llm_config ?? {}) };
  const heads = text.num_attention_heads ?? text.n_head;
  const hidden = text.hidden_size ?? text.n_embd;
  const layers = text.num_hidden_layers ?? text.n_layer;
  const headSize = text.head_dim ?? (hidden && heads ? Math.floor(hidden / heads) : undefined);
  const latent = text.kv_lora_rank && text.kv_lora_rank + (text.qk_rope_head_dim ?? 0);
  const writes = isWriter(config.architectures);
  const packing = packingOf(config.quantization_config);
  return {
    architecture: keptText(config.model_type ?? config.architectures?.[0]),
    contextLength:
      text.max_position_embeddings ?? text.n_positions ?? text.n_ctx ?? text.max_sequence_length ?? text.seq_length,
    // Only what writes keeps a cache: encoders read all at once.
    cacheBytesPerToken: !writes
      ? undefined
      : latent
        ? latentCacheBytesPerToken(layers, latent)
        : cacheBytesPerToken(layers, text.num_key_value_heads ?? heads, headSize),
    precision: PRECISIONS[text.dtype ?? text.torch_dtype ?? ""],
    quantization: packing?.method,
    packing,
  };
}

function isWriter(architectures: readonly string[] | undefined): boolean {
  return architectures?.some((name) => /CausalLM|ConditionalGeneration|LMHead|Seq2Seq/.test(name)) ?? false;
}

function packingOf(config: z.infer<typeof QUANTIZATION> | undefined): Packing | undefined {
  if (config === undefined) return undefined;
  const method = keptText(config.quant_method ?? (config.load_in_4bit || config.load_in_8bit ? "bitsandbytes" : ""));
  if (method === undefined) return undefined;
  const [group] = Object.values(config.config_groups ?? {});
  const bits =
    config.bits ?? group?.weights?.num_bits ?? (config.load_in_4bit ? 4 : config.load_in_8bit ? 8 : undefined);
  return { method, bits };
}

function defined<Values extends object>(values: Values): Partial<Values> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<Values>;
}
