import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import { join, relative } from "node:path";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SourceSchema } from "../../gen/modelmanager/v1/source_pb.ts";
import { CliError } from "../../src/cli/cli-error.ts";
import { isSamePlace, parseSource } from "../../src/cli/source-argument.ts";
import { applySourceOptions } from "../../src/cli/source-options.ts";

const huggingface = (repo: string) => ({ kind: { case: "huggingface", value: { repo } } });
const http = (url: string) => ({ kind: { case: "http", value: { files: [{ url }] } } });
const oci = (reference: string) => ({ kind: { case: "oci", value: { reference } } });
const s3 = (uri: string, said = {}) => ({ kind: { case: "s3", value: { uri, ...said } } });
const local = (path: string) => ({ kind: { case: "local", value: { path } } });

describe("the source that pull takes", () => {
  it.each([
    ["hf:Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B", ""],
    ["hf:Qwen/Qwen2.5-0.5B@refs/pr/1", "Qwen/Qwen2.5-0.5B", "refs/pr/1"],
    ["HF:gpt2@v1", "gpt2", "v1"],
    ["hf://org/name", "org/name", ""],
    ["https://huggingface.co/org/name", "org/name", ""],
    ["https://huggingface.co/org/name/", "org/name", ""],
    ["https://hf.co/org/name/tree/v1.0?x=1", "org/name", "v1.0"],
  ])("%s is a repository on Hugging Face", (text, repo, revision) => {
    expect(parseSource(text)).toEqual({ source: huggingface(repo), revision, defaultId: repo });
  });

  it.each([
    ["oci:ghcr.io/org/model:v1", "ghcr.io/org/model", "v1", "org/model"],
    ["oci://ghcr.io/org/model", "ghcr.io/org/model", "", "org/model"],
    ["oci:localhost:5000/model:v1", "localhost:5000/model", "v1", "model"],
    ["oci:http://registry:5000/a/b/c:v1", "http://registry:5000/a/b/c", "v1", "b/c"],
    [
      `oci:ghcr.io/org/model:v1@sha256:${"ab".repeat(32)}`,
      "ghcr.io/org/model",
      `sha256:${"ab".repeat(32)}`,
      "org/model",
    ],
    ["ollama:llama3:8b", "registry.ollama.ai/library/llama3:8b", "", "llama3-8b"],
    ["ollama:llama3", "registry.ollama.ai/library/llama3", "", "llama3"],
    ["Ollama:llama3:latest", "registry.ollama.ai/library/llama3:latest", "", "llama3"],
    ["ollama:user/model:q4", "registry.ollama.ai/user/model:q4", "", "user/model-q4"],
  ])("%s is an artifact in a registry", (text, reference, revision, defaultId) => {
    expect(parseSource(text)).toEqual({ source: oci(reference), revision, defaultId });
  });

  it.each([
    ["https://example.com/models/llama-3.Q4_K_M.gguf?sig=a/b", "llama-3.Q4_K_M"],
    ["http://127.0.0.1:9/my%20model.safetensors", "my-model"],
    ["http://127.0.0.1:9/a/..%2f..%2fb.bin", "b"],
    ["https://example.com/", "example.com"],
    ["https://example.com/%E0%A4%A/model", "model"],
    ["https://huggingface.co/org/name/resolve/main/model.gguf", "model"],
    ["https://huggingface.co/datasets/name", "name"],
  ])("%s is a file on a web server, by default called %s", (text, defaultId) => {
    expect(parseSource(text)).toEqual({ source: http(text), revision: "", defaultId });
  });

  it.each([
    ["s3://models/team/llama-3/", "llama-3"],
    ["s3://models/team/llama-3.Q4_K_M.gguf", "llama-3.Q4_K_M"],
    ["s3://models", "models"],
  ])("%s is a place in S3, by default called %s", (text, defaultId) => {
    const uri = text === "s3://models" ? "s3://models/" : text;
    expect(parseSource(text)).toEqual({ source: s3(uri), revision: "", defaultId });
    const said = { endpoint: "http://minio:9000", region: "eu", credential: "mine" };
    expect(applySourceOptions(parseSource(text), said).source).toEqual(s3(uri, said));
  });

  it("has no options that are another kind's", () => {
    const url = parseSource("https://example.com/x.gguf");
    expect(() => applySourceOptions(url, { region: "eu" })).toThrow(/--region: not for this kind of source/);
    expect(applySourceOptions(url, { region: undefined })).toBe(url);
  });

  it("is a path, made absolute", () => {
    const folder = mkdtempSync(join(os.tmpdir(), "model-manager-test-"));
    try {
      expect(parseSource(relative(process.cwd(), folder)).source).toEqual(local(folder));
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(parseSource("/srv/models/My Model.gguf")).toEqual({
      source: local("/srv/models/My Model.gguf"),
      revision: "",
      defaultId: "My-Model",
    });
  });

  it.each([
    ["Qwen/Qwen2.5-0.5B", /no such file or folder/, /say hf:Qwen\/Qwen2.5-0.5B/],
    ["./nowhere", /no such file or folder/, /give hf:/],
    ["s3://bucket/a/../b", /not s3:/, /give hf:/],
    ["s3:bucket", /not s3:/, /give hf:/],
    ["ftp://example.com/x", /not a kind of source/, /give hf:/],
    ["hf:", /not the name of a repository/, /give hf:/],
    ["hf:a/b/c", /not the name of a repository/, /give hf:/],
    ["oci:model", /not an artifact in a registry/, /oci:<host>/],
    ["oci:ghcr.io/org/model@sha256:00", /not an artifact in a registry/, /oci:<host>/],
    ["ollama:a/b/c", /not a model of Ollama's/, /ollama:<name>/],
    ["http://", /not a URL/, /give hf:/],
    ["/...", /no id can be made/, /--id/],
  ])("%s is refused with a hint", (text, message, hint) => {
    const error = (() => {
      try {
        return parseSource(text);
      } catch (raised) {
        return raised;
      }
    })();
    expect(error).toBeInstanceOf(CliError);
    expect(error).toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
  });
});

describe("the same place", () => {
  it("is told by repository, address or path, whatever else a source says", () => {
    const stored = create(SourceSchema, { kind: { case: "huggingface", value: { repo: "a/b", revision: "v1" } } });
    expect(isSamePlace(stored, parseSource("hf:a/b@v2"))).toBe(true);
    expect(isSamePlace(stored, parseSource("hf:a/c"))).toBe(false);
    expect(isSamePlace(stored, parseSource("https://example.com/a/b"))).toBe(false);
    const file = create(SourceSchema, {
      kind: { case: "http", value: { files: [{ url: "https://x/y", path: "y" }] } },
    });
    expect(isSamePlace(file, parseSource("https://x/y"))).toBe(true);
    expect(isSamePlace(file, parseSource("https://x/z"))).toBe(false);
    const folder = create(SourceSchema, { kind: { case: "local", value: { path: "/a" } } });
    expect(isSamePlace(folder, parseSource("/a/"))).toBe(true);
    const artifact = create(SourceSchema, { kind: { case: "oci", value: { reference: "ghcr.io/a/b" } } });
    expect(isSamePlace(artifact, parseSource("oci:ghcr.io/a/b:v2"))).toBe(true);
    expect(isSamePlace(artifact, parseSource("oci:ghcr.io/a/c"))).toBe(false);
    const tagged = create(SourceSchema, { kind: { case: "oci", value: { reference: "ghcr.io/a/b:v1" } } });
    expect(isSamePlace(tagged, parseSource("oci:ghcr.io/a/b:v1"))).toBe(true);
    expect(isSamePlace(tagged, parseSource("oci:ghcr.io/a/b:v2"))).toBe(false);
    expect(isSamePlace(undefined, parseSource("/a"))).toBe(false);
  });
});
