import { mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { gguf } from "@huggingface/gguf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BlobStore } from "../../src/domain/ports/blob-store.ts";
import { createMetadataReader } from "../../src/metadata/metadata.ts";
import { silent } from "../sources/helpers.ts";
import { makeGgufFile, makeModelFolder } from "../support/model-files.ts";
import {
  ggufFile,
  ggufKey,
  ggufTensor,
  ggufText,
  type MetadataLab,
  openMetadataLab,
  PICKLES,
  safetensorsFile,
  u32,
  u64,
  zipFile,
} from "./support.ts";

let lab: MetadataLab;
let folder: string;

beforeAll(async () => {
  lab = await openMetadataLab();
  folder = await mkdtemp(join(os.tmpdir(), "model-manager-made-"));
});
afterAll(async () => {
  await lab.close();
  await rm(folder, { recursive: true });
});

const LLAMA = {
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 2048,
};
const json = (value: unknown) => JSON.stringify(value);

describe("safetensors", () => {
  it("of a whole model folder are told with what stands beside them", async () => {
    const made = await makeModelFolder(join(folder, "llama"), { bytes: 200_000 });
    const files = await Promise.all(
      made.map(async ({ path }) => [path, await readFile(join(folder, "llama", path))] as const),
    );
    const config = JSON.parse(files.find(([path]) => path === "config.json")?.[1].toString() ?? "");
    const metadata = await lab.read(Object.fromEntries(files));
    expect(metadata).toMatchObject({
      format: "safetensors",
      architecture: "llama",
      precision: "bf16",
      contextLength: 2048,
      hasTokenizer: true,
      unsafeFiles: [],
    });
    expect(metadata.error).toBeUndefined();
    expect(metadata.quantization).toBeUndefined();
    const parameters = metadata.parameterCount ?? 0;
    expect(parameters).toBeGreaterThan(90_000);
    // Keys and values, two bytes each; all heads have their own.
    const cache = 2 * 2 * config.num_hidden_layers * config.hidden_size * 2048;
    expect(metadata.estimatedMemoryBytes).toBe(Math.ceil(2 * parameters * 1.1) + cache);
  });

  const shards = {
    "model-00001-of-00002.safetensors": safetensorsFile({ a: ["BF16", 8, 4] }),
    "model-00002-of-00002.safetensors": safetensorsFile({ b: ["BF16", 8], c: ["F32", 2] }),
  };
  const index = (map: Record<string, string>) => json({ metadata: { total_size: 1 }, weight_map: map });
  const [one = "", two = ""] = Object.keys(shards);

  it("in several parts are added up and held to their index", async () => {
    const whole = await lab.read({ ...shards, "model.safetensors.index.json": index({ a: one, b: two, c: two }) });
    expect(whole).toMatchObject({ parameterCount: 42, precision: "bf16" });
    expect(whole.error).toBeUndefined();
    const lost = await lab.read({
      [one]: shards[one as never],
      "model.safetensors.index.json": index({ a: one, b: two }),
    });
    expect(lost.error).toBe(`model.safetensors.index.json: names '${two}', which is not there`);
    const lying = await lab.read({ ...shards, "model.safetensors.index.json": index({ a: two, b: two, c: two }) });
    expect(lying.error).toContain("holds a tensor which is not in it");
  });

  it("that are packed are counted unpacked", async () => {
    const metadata = await lab.read({
      "config.json": json({ ...LLAMA, quantization_config: { quant_method: "gptq", bits: 4 } }),
      "model.safetensors": safetensorsFile({
        "layer.qweight": ["I32", 10, 10],
        "layer.qzeros": ["I32", 7],
        "layer.scales": ["F16", 9],
        "norm.weight": ["F16", 5],
      }),
    });
    expect(metadata).toMatchObject({ quantization: "gptq", parameterCount: 805 });
  });

  it("of an adapter name its base and its rank", async () => {
    const metadata = await lab.read({
      "adapter_config.json": json({ peft_type: "LORA", r: 16, base_model_name_or_path: "org/base" }),
      "adapter_model.safetensors": safetensorsFile({ "a.lora_A.weight": ["F32", 4, 4] }),
    });
    expect(metadata).toMatchObject({
      format: "safetensors",
      adapterRank: 16,
      baseModels: ["org/base"],
      precision: "fp32",
    });
    expect(metadata.estimatedMemoryBytes).toBeUndefined();
  });

  it("of a pipeline are those of all its folders", async () => {
    const metadata = await lab.read({
      "model_index.json": json({ _class_name: "StableDiffusionPipeline" }),
      "unet/diffusion_pytorch_model.safetensors": safetensorsFile({ a: ["F16", 100] }),
      "vae/diffusion_pytorch_model.safetensors": safetensorsFile({ a: ["F16", 10] }),
    });
    expect(metadata).toMatchObject({ architecture: "StableDiffusionPipeline", parameterCount: 110, precision: "fp16" });
  });
});

describe("GGUF", () => {
  it("says the same as its own package reads", async () => {
    await makeGgufFile(folder, "made.gguf", { bytes: 300_000 });
    const path = join(folder, "made.gguf");
    const theirs = await gguf(path, { allowLocalFile: true, computeParametersCount: true });
    const said: Record<string, unknown> = { ...theirs.metadata };
    const metadata = await lab.read({ "made.gguf": await readFile(path) });
    expect(metadata).toMatchObject({
      format: "gguf",
      architecture: said["general.architecture"],
      contextLength: said["llama.context_length"],
      parameterCount: theirs.parameterCount,
      precision: "fp16",
      hasTokenizer: true,
    });
    expect(metadata.error).toBeUndefined();
    expect(metadata.estimatedMemoryBytes).toBeGreaterThan(300_000);
  });

  const quantized = (fileType: number, parameters: number) =>
    ggufFile(
      1,
      8,
      ggufKey("general.architecture", "qwen2"),
      ggufKey("general.file_type", fileType),
      ggufKey("qwen2.context_length", 1000),
      ggufKey("qwen2.block_count", 3),
      ggufKey("qwen2.embedding_length", 64),
      ggufKey("qwen2.attention.head_count", 8),
      ggufKey("qwen2.attention.head_count_kv", 2),
      ggufKey("tokenizer.chat_template", `{{ ${"x".repeat(5000)} }}`),
      ggufTensor("t", 12, parameters),
      Buffer.alloc(parameters),
    );

  it("names the quantization, and estimates the memory", async () => {
    const metadata = await lab.read({ "m.gguf": quantized(15, 5000) });
    expect(metadata).toMatchObject({ quantization: "Q4_K_M", architecture: "qwen2", hasChatTemplate: true });
    expect(metadata.estimatedMemoryBytes).toBe(5500 + 4 * 3 * 2 * 8 * 1000);
  });

  it("is read in the other byte order too", async () => {
    const big = Buffer.concat([Buffer.from("GGUF"), u32(3).reverse(), u64(0), u64(1).reverse()]);
    const key = [u64(20).reverse(), Buffer.from("general.architecture"), u32(8).reverse(), u64(5).reverse()];
    expect(await lab.read({ "m.gguf": Buffer.concat([big, ...key, Buffer.from("llama")]) })).toMatchObject({
      architecture: "llama",
    });
  });

  it("of several quantizations names all, and counts the largest", async () => {
    const metadata = await lab.read({ "m-q4.gguf": quantized(15, 5000), "m-q8.gguf": quantized(7, 9000) });
    expect(metadata).toMatchObject({ quantization: "Q8_0,Q4_K_M", parameterCount: 9000 });
  });
});

it("finds the operator set of ONNX behind its graph", async () => {
  const opset = Buffer.from([0x42, 2, 0x10, 17]);
  const other = Buffer.from([0x42, 10, 0x0a, 6, ...Buffer.from("ai.foo"), 0x10, 3]);
  const graph = Buffer.concat([Buffer.from([0x3a, 0x80, 0x80, 0x40]), Buffer.alloc(1 << 20)]);
  const model = Buffer.concat([Buffer.from([0x08, 8]), graph, other, opset]);
  expect(await lab.read({ "onnx/model.onnx": model })).toMatchObject({ format: "onnx", onnxOpset: 17 });
});

describe("pickles", () => {
  it("are found by their content, whatever they are called", async () => {
    const files = Object.fromEntries(Object.entries(PICKLES).map(([name, bytes]) => [`${name}.txt`, bytes]));
    const metadata = await lab.read(files);
    expect(metadata.unsafeFiles).toEqual(Object.keys(files).sort());
  });

  it("are not found in what is harmless", async () => {
    const { unsafeFiles, error } = await lab.read({
      "pytorch_model.bin": Buffer.alloc(1000, 0x80),
      "empty.pt": "",
      "one.pkl": "(",
      "README.md": "(a note)\ncc by-sa\nlicense\n",
      LICENSE: "Node.js is licensed for use as follows",
      "labels.txt": "cat\ndog\nbird\n",
      "version.txt": "1.0\n",
      "arrays.npz": zipFile({ "weight.npy": Buffer.from("\x93NUMPY\x01\x00v\x00{'descr': '<f4'", "latin1") }),
      "model.safetensors": safetensorsFile({ a: ["F32", 2] }),
    });
    expect(unsafeFiles).toEqual([]);
    expect(error).toBeUndefined();
  });

  it("are the format where there is no other", async () => {
    const metadata = await lab.read({ "pytorch_model.bin": PICKLES["torch's zip"] ?? "", "config.json": json(LLAMA) });
    expect(metadata).toMatchObject({ format: "pytorch", architecture: "llama", unsafeFiles: ["pytorch_model.bin"] });
    expect(metadata.estimatedMemoryBytes).toBeGreaterThan(4 * 2 * 2 * 16 * 2048);
  });

  it("in a zip that hides its directory count as found", async () => {
    expect(await lab.read({ "model.bin": "PK\x03\x04 and no end" })).toMatchObject({ unsafeFiles: ["model.bin"] });
  });
});

describe("hostile files", () => {
  const nested = `${"[".repeat(10_000)}${"]".repeat(10_000)}`;
  const huge = ggufFile(0, 1, ggufText("k"), u32(9), u32(8), u64(2n ** 40n));
  const deep = Buffer.concat(Array.from({ length: 10_000 }, () => Buffer.concat([u32(9), u64(1)])));
  const hostile: Record<string, Readonly<Record<string, Uint8Array | string>>> = {
    "GGUF of four bytes": { "m.gguf": "GGUF" },
    "GGUF of 2^32 keys": { "m.gguf": ggufFile(0, 2n ** 32n) },
    "GGUF of 2^63 tensors": { "m.gguf": ggufFile(2n ** 63n, 0) },
    "GGUF of fewer keys than announced": { "m.gguf": ggufFile(0, 9, ggufKey("a", 1)) },
    "GGUF with an array of 2^40 texts": { "m.gguf": huge },
    "GGUF with arrays in arrays in arrays": { "m.gguf": ggufFile(0, 1, ggufText("k"), u32(9), deep) },
    "GGUF with a text of 2^60 bytes": { "m.gguf": ggufFile(0, 1, ggufText("k"), u32(8), u64(2n ** 60n)) },
    "GGUF with a key twice": { "m.gguf": ggufFile(0, 2, ggufKey("a", 1), ggufKey("a", 1)) },
    "GGUF of more parameters than bytes": { "m.gguf": ggufFile(1, 0, ggufTensor("t", 0, 1 << 30, 1 << 30)) },
    "GGUF with a value of no known type": { "m.gguf": ggufFile(0, 1, ggufText("k"), u32(77)) },
    "safetensors of no bytes": { "m.safetensors": "" },
    "safetensors with a header of 2^60 bytes": { "m.safetensors": Buffer.concat([u64(2n ** 60n), Buffer.alloc(99)]) },
    "safetensors with a header of 17 MiB": { "m.safetensors": Buffer.concat([u64(17 << 20), Buffer.alloc(17 << 20)]) },
    "safetensors with a nested header": { "m.safetensors": Buffer.concat([u64(nested.length), Buffer.from(nested)]) },
    "safetensors with a tensor twice": {
      "m.safetensors": safetensorsFile({ a: ["F32", 2], b: ["F32", 2] }, (header) => header.replace('"b"', '"a"')),
    },
    "safetensors with a gap": {
      "m.safetensors": Buffer.concat([safetensorsFile({ a: ["F32", 2] }), Buffer.alloc(8)]),
    },
    "safetensors with a shape that lies": {
      "m.safetensors": safetensorsFile({ a: ["F32", 2] }, (header) => header.replace("[2]", "[9]")),
    },
    "a nested config": { "config.json": nested },
    "a config that is no JSON": { "config.json": "{" },
    "a config that is a list": { "config.json": "[]" },
    "an index that is a list": { "m.safetensors": safetensorsFile({}), "m.safetensors.index.json": "[]" },
    "ONNX of nothing known": { "m.onnx": "what?" },
    "ONNX with a field of 2^60 bytes": { "m.onnx": Buffer.from([0x3a, ...Array(8).fill(0xff), 0x0f]) },
    "ONNX of endless numbers": { "m.onnx": Buffer.alloc(100, 0xff) },
  };

  it.each(Object.keys(hostile))("%s is a problem of its metadata alone", async (name) => {
    const started = performance.now();
    const { error } = await lab.read(hostile[name] ?? {});
    const [path = ""] = Object.keys(hostile[name] ?? {}).slice(-1);
    expect(error).toMatch(new RegExp(`^${path.replace(".", "\\.")}: .*[a-z]`));
    expect(error).not.toMatch(/undefined|Error|cannot be read$/);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it("do not keep others from being told", async () => {
    const metadata = await lab.read({
      "m.safetensors": "",
      "config.json": json(LLAMA),
      "x.pkl": PICKLES["protocol 2"] ?? "",
    });
    expect(metadata).toMatchObject({ architecture: "llama", contextLength: 2048, unsafeFiles: ["x.pkl"] });
  });

  it("cannot make a text longer than it may be, or one that cannot be kept", async () => {
    const metadata = await lab.read({ "config.json": json({ model_type: `\0${"x".repeat(1 << 20)}` }) });
    expect(metadata.architecture).toMatch(/^\ufffdx{255}$/);
  });
});

describe("the store", () => {
  const signal = new AbortController().signal;

  it("that has a blob no more is told in the error", async () => {
    const files = await lab.put({ "config.json": json(LLAMA) });
    await lab.store.remove(files[0]?.digest ?? "sha256:");
    const { error } = await createMetadataReader({ store: lab.store, log: silent }).read(files, signal);
    expect(error).toContain("config.json: blob not found");
  });

  it("that hangs is not waited for, and an abort ends the reading", async () => {
    const files = await lab.put({ "config.json": json(LLAMA) });
    const hanging: Pick<BlobStore, "read"> = {
      async read(digest, range) {
        const stream = await lab.store.read(digest, range);
        stream.read = () => null;
        return stream;
      },
    };
    const slow = createMetadataReader({ store: hanging, log: silent, timeLimitMs: 50 });
    expect(await slow.read(files, signal)).toEqual({ error: "could not be read within 0.05 s" });
    const reason = new Error("enough");
    await expect(slow.read(files, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
