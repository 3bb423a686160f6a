import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ModelSchema, ModelType } from "../../../gen/modelmanager/v1/model_pb.ts";
import { SourceSchema } from "../../../gen/modelmanager/v1/source_pb.ts";
import { VersionSchema } from "../../../gen/modelmanager/v1/version_pb.ts";
import { describeVersion } from "../../../src/cli/bundle/describe-version.ts";
import { factsFromAnnotations, factsOf, factsToAnnotations, portableSource } from "../../../src/cli/bundle/facts.ts";
import { layerMediaType } from "../../../src/cli/bundle/file-kind.ts";
import { refName } from "../../../src/cli/bundle/ref-name.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const model = create(ModelSchema, {
  id: "org/lora",
  type: ModelType.ADAPTER,
  baseModelId: "org/base",
  displayName: "LoRA",
  description: "Two\nlines.",
  labels: { b: "2", a: "1" },
  source: { kind: { case: "huggingface", value: { repo: "org/lora", credential: "corp" } } },
  aliases: [
    { alias: "production", version: 3 },
    { alias: "canary", version: 2 },
  ],
});
const version = create(VersionSchema, {
  modelId: "org/lora",
  version: 3,
  manifestDigest: DIGEST,
  resolvedRevision: "abc",
  license: "apache-2.0",
  labels: { checked: "yes" },
  metadata: { architecture: "llama", format: "safetensors", parameterCount: 6_738_000_000n, precision: "bf16" },
  files: [{ path: "adapter.safetensors", size: 5n, digest: DIGEST }],
});

describe("a version in a bundle", () => {
  it("has the fields that ModelPack requires, and those that it knows", () => {
    const { config, manifest, entry } = describeVersion(model, version, { tag: "production" });
    expect(JSON.parse(config.bytes.toString())).toEqual({
      descriptor: {
        name: "org/lora",
        version: "3",
        title: "LoRA",
        description: "Two\nlines.",
        revision: "abc",
        licenses: ["apache-2.0"],
      },
      config: { architecture: "llama", format: "safetensors", paramSize: "6.7B", precision: "bf16" },
      modelfs: { type: "layers", diffIds: [DIGEST] },
    });
    expect(JSON.parse(manifest.bytes.toString())).toMatchObject({
      artifactType: "application/vnd.cncf.model.manifest.v1+json",
      config: { mediaType: "application/vnd.cncf.model.config.v1+json", digest: config.digest },
      layers: [
        {
          mediaType: "application/vnd.cncf.model.weight.v1.raw",
          digest: DIGEST,
          size: 5,
          annotations: { "org.cncf.model.filepath": "adapter.safetensors" },
        },
      ],
    });
    expect(entry).toMatchObject({
      digest: manifest.digest,
      annotations: {
        "org.opencontainers.image.ref.name": "org/lora:production",
        "modelmanager.v1.aliases": '["production"]',
        "modelmanager.v1.labels": '{"a":"1","b":"2"}',
        "modelmanager.v1.source": '{"huggingface":{"repo":"org/lora"}}',
      },
    });
  });

  it("says the same facts when it is read", () => {
    const facts = factsOf(model, version);
    expect(factsFromAnnotations(factsToAnnotations(facts))).toEqual(facts);
    expect(factsFromAnnotations({})).toBeUndefined();
  });

  it("does not carry what may be a secret in its source", () => {
    const file = { url: "https://a/b?X-Amz-Signature=1#f", path: "b", mirrors: ["https://c/b?sig=2"] };
    const source = create(SourceSchema, { kind: { case: "http", value: { files: [file], credential: "corp" } } });
    expect(portableSource(source).kind.value).toMatchObject({
      files: [{ url: "https://a/b", path: "b", mirrors: ["https://c/b"] }],
      credential: "",
    });
    expect(source.kind.value).toMatchObject({ credential: "corp" });
  });
});

describe("names for other tools", () => {
  it.each([
    ["llama3", "3", "llama3:3"],
    ["Qwen/Qwen2.5-0.5B", "production", "Qwen/Qwen2.5-0.5B:production"],
    ["a--b", "1", "a--b:1"],
  ])("%s at %s is %s", (id, tag, name) => {
    expect(refName(id, tag)).toBe(name);
  });

  it("are made of ids that cannot stand there, and differ as these do", () => {
    const names = ["a__b", "a_-b", "a-b.", "a-b"].map((id) => refName(`org/${id}`, "v1._"));
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^org\/a-b-[0-9a-f]{8}:v1$/);
  });
});

it("layers are of the kind that their names tell", () => {
  const kinds = {
    "model.safetensors": "weight",
    "model-Q4.GGUF": "weight",
    "no-extension": "weight",
    "tokenizer.json": "weight.config",
    "sub/tokenizer.model": "weight.config",
    "README.md": "doc",
    "LICENSE.txt": "doc",
    "modeling_x.py": "code",
    "train.parquet": "dataset",
  };
  for (const [path, kind] of Object.entries(kinds)) {
    expect(layerMediaType(path)).toBe(`application/vnd.cncf.model.${kind}.v1.raw`);
  }
});
