import { expect, it } from "vitest";
import { parseChallenge } from "../../../src/sources/oci/challenge.ts";
import { parseOciReference } from "../../../src/sources/oci/reference.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;

it.each([
  ["ghcr.io/org/model:v1", "https://ghcr.io", "org/model", { tag: "v1" }],
  ["ghcr.io/org/model", "https://ghcr.io", "org/model", { tag: "latest" }],
  [`ghcr.io/org/model@${DIGEST}`, "https://ghcr.io", "org/model", { digest: DIGEST }],
  [`ghcr.io/org/model:v1@${DIGEST}`, "https://ghcr.io", "org/model", { digest: DIGEST }],
  ["registry.example:5000/a/b/c:1.0_x-y", "https://registry.example:5000", "a/b/c", { tag: "1.0_x-y" }],
  ["docker.io/library/model", "https://docker.io", "library/model", { tag: "latest" }],
  ["hf.co/org/Model-GGUF:Q4_K_M", "https://hf.co", "org/Model-GGUF", { tag: "Q4_K_M" }],
  ["localhost:5000/model", "http://localhost:5000", "model", { tag: "latest" }],
  ["127.0.0.1/model", "http://127.0.0.1", "model", { tag: "latest" }],
  ["[::1]:5000/model", "http://[::1]:5000", "model", { tag: "latest" }],
  ["http://registry:5000/model", "http://registry:5000", "model", { tag: "latest" }],
  ["https://localhost/model", "https://localhost", "model", { tag: "latest" }],
])("%s is %s, %s, %j", (text, origin, repository, target) => {
  expect(parseOciReference("reference", text)).toMatchObject({ origin, repository, target });
});

it.each([
  "model",
  "library/model",
  "ghcr.io/",
  "ghcr.io/org/../model",
  "ghcr.io//model",
  "ghcr.io/org/model:",
  "ghcr.io/org/model:a/b",
  "ghcr.io/org/model@sha512:00",
  "ghcr.io/org/model@v1",
  `ghcr.io/org/model:-x@${DIGEST}`,
  "ftp://ghcr.io/org/model",
  "https://user:secret@ghcr.io/org/model",
  "ghcr.io:99999/org/model",
  "ghcr.io/org/model?x=y",
])("%s is no reference", (text) => {
  expect(() => parseOciReference("source.oci.reference", text)).toThrow(/^source\.oci\.reference: must be <host>/);
});

it.each([
  [
    'Bearer realm="https://a/b",service="s, t",scope="repository:x:pull"',
    { scheme: "bearer", realm: "https://a/b", service: "s, t" },
  ],
  ["bearer realm=https://a/b", { scheme: "bearer", realm: "https://a/b" }],
  ['Basic realm="a", Bearer realm="https://a/b"', { scheme: "bearer", realm: "https://a/b" }],
  ['Basic realm="quoted \\" bearer"', { scheme: "basic" }],
  ["Bearer", { scheme: "bearer", realm: undefined }],
  ["Negotiate", undefined],
  [undefined, undefined],
  [`Bearer ${"a=b,".repeat(5000)}`, undefined],
])("a challenge %s", (header, expected) => {
  const challenge = parseChallenge(header);
  if (expected === undefined) expect(challenge).toBeUndefined();
  else expect(challenge).toMatchObject(expected);
});
