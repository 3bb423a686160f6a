import { describe, expect, it } from "vitest";
import { compileGlob } from "../../src/lib/glob.ts";

describe("compileGlob", () => {
  // Each row was checked against Python's fnmatch.fnmatchcase.
  it.each([
    ["*.safetensors", "model.safetensors", true],
    ["*.safetensors", "onnx/model.safetensors", true],
    ["*.safetensors", "model.safetensors.index.json", false],
    ["onnx/*", "onnx/a/b.onnx", true],
    ["a*b*c", "a-b-b-c", true],
    ["a*b*c", "a-b-b-d", false],
    ["?.bin", "a.bin", true],
    ["?.bin", ".bin", false],
    ["?", "é", true],
    ["?", "😀", true],
    ["[abc]1", "b1", true],
    ["[!abc]1", "b1", false],
    ["[!abc]1", "d1", true],
    ["[a-c]", "b", true],
    ["[a-c]", "-", false],
    ["[]]", "]", true],
    ["[!]]", "]", false],
    ["[!]]", "x", true],
    ["[", "[", true],
    ["[abc", "[abc", true],
    ["[a-]", "-", true],
    ["[z-a]", "m", false],
    ["model-0000[1-3]-of-*", "model-00002-of-00003.bin", true],
    ["A", "a", false],
    ["a.b", "axb", false],
    ["", "", true],
    ["", "a", false],
    ["**", "", true],
    ["(a|b)+$", "(a|b)+$", true],
  ])("%j on %j is %j", (glob, text, expected) => {
    expect(compileGlob(glob)(text)).toBe(expected);
  });

  it("takes time in proportion to the lengths for a glob made to be slow", () => {
    const matches = compileGlob(`${"*a".repeat(120)}*b`);
    const started = performance.now();
    expect(matches("a".repeat(1024))).toBe(false);
    expect(performance.now() - started).toBeLessThan(500);
  });
});
