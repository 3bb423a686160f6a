import { createCipheriv, createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** A file that was made, with what its bytes hash to. */
export interface MadeFile {
  readonly path: string;
  readonly size: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

export interface ModelFilesOptions {
  /** About how many bytes of weights; at least about 50 kB come out. */
  readonly bytes: number;
  /** Other weights, same shape. Default 1. */
  readonly seed?: number;
}

interface Shape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly layers: number;
  readonly vocabulary: number;
}

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * Makes the folder of a small model in Hugging Face's layout: config, tokenizer, weights as safetensors and nothing else.
 * The same options make the same bytes; memory stays small whatever the size.
 */
export async function makeModelFolder(directory: string, options: ModelFilesOptions): Promise<MadeFile[]> {
  const shape = shapeOf(options.bytes);
  const files = [
    await write(directory, "config.json", [json(config(shape))]),
    await write(directory, "generation_config.json", [json({ bos_token_id: 1, eos_token_id: 2, do_sample: false })]),
    await write(directory, "tokenizer.json", [json(tokenizer(shape))]),
    await write(directory, "tokenizer_config.json", [
      json({
        tokenizer_class: "PreTrainedTokenizerFast",
        bos_token: "<s>",
        eos_token: "</s>",
        unk_token: "<unk>",
        model_max_length: 2048,
      }),
    ]),
    await write(directory, "model.safetensors", safetensors(shape, options.seed ?? 1)),
  ];
  return files;
}

/** Makes one GGUF file (version 3, llama architecture, F16 weights) at `directory/name`. */
export function makeGgufFile(directory: string, name: string, options: ModelFilesOptions): Promise<MadeFile> {
  return write(directory, name, gguf(shapeOf(options.bytes), options.seed ?? 1));
}

/** Bytes that look random and are the same each time: `size` of them, in pieces. */
export function* noise(size: number, seed: number): Generator<Buffer> {
  const key = createHash("sha256").update(`noise ${seed}`).digest();
  const cipher = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  const zeros = Buffer.alloc(1 << 18);
  for (let left = size; left > 0; left -= zeros.length) {
    yield cipher.update(left < zeros.length ? zeros.subarray(0, left) : zeros);
  }
}

async function write(directory: string, path: string, pieces: Iterable<Uint8Array>): Promise<MadeFile> {
  const target = join(directory, path);
  await mkdir(dirname(target), { recursive: true });
  const hash = createHash("sha256");
  let size = 0;
  function* counted(): Generator<Uint8Array> {
    for (const piece of pieces) {
      hash.update(piece);
      size += piece.length;
      yield piece;
    }
  }
  await pipeline(Readable.from(counted()), createWriteStream(target));
  return { path, size, sha256: hash.digest("hex") };
}

const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

function shapeOf(bytes: number): Shape {
  const hidden = bytes < 4 << 20 ? 32 : 256;
  const shape = { hidden, intermediate: 4 * hidden, layers: 1, vocabulary: 256 };
  const size = (layers: number) => tensorsOf({ ...shape, layers }).reduce((sum, tensor) => sum + 2 * count(tensor), 0);
  const perLayer = size(2) - size(1);
  return { ...shape, layers: Math.max(1, Math.round((bytes - size(1)) / perLayer) + 1) };
}

/** The tensors of a llama, by the names that transformers gives them. */
function tensorsOf({ hidden, intermediate, layers, vocabulary }: Shape): Tensor[] {
  const tensors: Tensor[] = [{ name: "model.embed_tokens.weight", shape: [vocabulary, hidden] }];
  for (let layer = 0; layer < layers; layer++) {
    const add = (name: string, ...shape: number[]) =>
      tensors.push({ name: `model.layers.${layer}.${name}.weight`, shape });
    add("input_layernorm", hidden);
    for (const projection of ["q_proj", "k_proj", "v_proj", "o_proj"]) add(`self_attn.${projection}`, hidden, hidden);
    add("post_attention_layernorm", hidden);
    add("mlp.gate_proj", intermediate, hidden);
    add("mlp.up_proj", intermediate, hidden);
    add("mlp.down_proj", hidden, intermediate);
  }
  tensors.push({ name: "model.norm.weight", shape: [hidden] });
  return tensors;
}

const count = ({ shape }: Tensor): number => shape.reduce((product, size) => product * size, 1);

function config({ hidden, intermediate, layers, vocabulary }: Shape) {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    vocab_size: vocabulary,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    hidden_act: "silu",
    bos_token_id: 1,
    eos_token_id: 2,
    tie_word_embeddings: true,
    torch_dtype: "bfloat16",
  };
}

function vocabularyOf({ vocabulary }: Shape): string[] {
  return ["<unk>", "<s>", "</s>", ...Array.from({ length: vocabulary - 3 }, (_, index) => `t${index}`)];
}

function tokenizer(shape: Shape) {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "Whitespace" },
    post_processor: null,
    decoder: null,
    model: {
      type: "WordLevel",
      vocab: Object.fromEntries(vocabularyOf(shape).map((token, id) => [token, id])),
      unk_token: "<unk>",
    },
  };
}

/** 16-bit floats of small magnitude, both signs, never NaN: the high byte of each is masked to `keep` and set to `set`. */
function* weights(size: number, seed: number, keep: number, set: number): Generator<Buffer> {
  for (const piece of noise(size, seed)) {
    for (let high = 1; high < piece.length; high += 2) piece[high] = ((piece[high] ?? 0) & keep) | set;
    yield piece;
  }
}

function* safetensors(shape: Shape, seed: number): Generator<Buffer> {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let offset = 0;
  for (const tensor of tensorsOf(shape)) {
    const end = offset + 2 * count(tensor);
    header[tensor.name] = { dtype: "BF16", shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8, " "));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  yield Buffer.concat([length, padded]);
  yield* weights(offset, seed, 0x80, 0x3c);
}

const GGUF_ALIGNMENT = 32;

/** transformers' names of tensors as llama.cpp calls them. */
function ggufName(name: string): string {
  return name
    .replace("model.embed_tokens", "token_embd")
    .replace("model.norm", "output_norm")
    .replace("model.layers.", "blk.")
    .replace("input_layernorm", "attn_norm")
    .replace("post_attention_layernorm", "ffn_norm")
    .replace(/self_attn\.([qkv])_proj/, "attn_$1")
    .replace("self_attn.o_proj", "attn_output")
    .replace(/mlp\.(gate|up|down)_proj/, "ffn_$1");
}

function* gguf(shape: Shape, seed: number): Generator<Buffer> {
  const tensors = tensorsOf(shape);
  const tokens = vocabularyOf(shape);
  const metadata: Buffer[] = [
    entry("general.architecture", 8, text("llama")),
    entry("general.name", 8, text("test llama")),
    entry("general.alignment", 4, u32(GGUF_ALIGNMENT)),
    entry("general.file_type", 4, u32(1)),
    entry("llama.block_count", 4, u32(shape.layers)),
    entry("llama.context_length", 4, u32(2048)),
    entry("llama.embedding_length", 4, u32(shape.hidden)),
    entry("llama.feed_forward_length", 4, u32(shape.intermediate)),
    entry("llama.attention.head_count", 4, u32(4)),
    entry("llama.attention.layer_norm_rms_epsilon", 6, f32(1e-5)),
    entry("tokenizer.ggml.model", 8, text("llama")),
    entry("tokenizer.ggml.tokens", 9, Buffer.concat([u32(8), u64(tokens.length), ...tokens.map(text)])),
    entry("tokenizer.ggml.scores", 9, Buffer.concat([u32(6), u64(tokens.length), ...tokens.map(() => f32(0))])),
    entry("tokenizer.ggml.token_type", 9, Buffer.concat([u32(5), u64(tokens.length), ...tokens.map(() => u32(1))])),
  ];
  const align = (size: number) => Math.ceil(size / GGUF_ALIGNMENT) * GGUF_ALIGNMENT;
  let offset = 0;
  const infos: Buffer[] = [];
  for (const tensor of tensors) {
    // Norms (one dimension) are F32, as llama.cpp wants them; everything else is F16.
    const type = tensor.shape.length === 1 ? 0 : 1;
    const dimensions = [...tensor.shape].reverse().map((size) => u64(size));
    infos.push(text(ggufName(tensor.name)), u32(dimensions.length), ...dimensions, u32(type), u64(offset));
    offset += align(count(tensor) * (type === 0 ? 4 : 2));
  }
  const head = Buffer.concat([
    Buffer.from("GGUF"),
    u32(3),
    u64(tensors.length),
    u64(metadata.length),
    ...metadata,
    ...infos,
  ]);
  yield Buffer.concat([head, Buffer.alloc(align(head.length) - head.length)]);
  for (const [index, tensor] of tensors.entries()) {
    const size = count(tensor) * (tensor.shape.length === 1 ? 4 : 2);
    if (tensor.shape.length === 1) yield Buffer.concat(Array.from({ length: count(tensor) }, () => f32(1)));
    else yield* weights(size, seed * 100_003 + index, 0x83, 0x20);
    yield Buffer.alloc(align(size) - size);
  }
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

function f32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeFloatLE(value);
  return buffer;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function entry(key: string, type: number, value: Buffer): Buffer {
  return Buffer.concat([text(key), u32(type), value]);
}
