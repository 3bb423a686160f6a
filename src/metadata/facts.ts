import { storableText } from "../lib/storable-text.ts";

/** What one kind of file says of a model. */
export interface Facts {
  readonly architecture?: string;
  readonly parameterCount?: number;
  readonly quantization?: string;
  readonly precision?: string;
  readonly contextLength?: number;
  /** Bytes of the tensors alone. */
  readonly weightBytes?: number;
  /** Bytes of the key-value cache for each token, in 16 bits. */
  readonly cacheBytesPerToken?: number;
  readonly hasTokenizer?: boolean;
  readonly hasChatTemplate?: boolean;
  readonly baseModels?: readonly string[];
  readonly adapterRank?: number;
}

const MAX_TEXT = 256;

/** A short text that can be kept, whatever a file says; undefined for an empty one. */
export function keptText(text: string | undefined): string | undefined {
  return text ? storableText(text.slice(0, MAX_TEXT)) : undefined;
}

/** Bytes of the key-value cache for each token, where keys and values of every head are kept. */
export function cacheBytesPerToken(layers?: number, kvHeads?: number, headSize?: number): number | undefined {
  return layers && kvHeads && headSize ? 2 * 2 * layers * kvHeads * headSize : undefined;
}

/** The same where all heads share one latent vector (multi-head latent attention). */
export function latentCacheBytesPerToken(layers?: number, latentSize?: number): number | undefined {
  return layers && latentSize ? 2 * layers * latentSize : undefined;
}

/** See the contract's `estimated_memory_bytes`; undefined if anything is unknown, or nonsense. */
export function estimateMemory({ weightBytes, cacheBytesPerToken: cache, contextLength }: Facts): number | undefined {
  if (!weightBytes || !cache || !contextLength) return undefined;
  const bytes = Math.ceil(weightBytes * 1.1) + cache * contextLength;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
