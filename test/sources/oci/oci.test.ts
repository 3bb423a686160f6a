import { expect, it, onTestFinished } from "vitest";
import type { Source } from "../../../src/domain/source.ts";
import {
  INDEX,
  type RegistryOptions,
  startRegistry,
  type TestLayer,
  type TestRegistry,
} from "../../support/registry.ts";
import { bytes, bytesOf, failure, named, open, preferred, request, testSources } from "../helpers.ts";

const TITLE = "org.opencontainers.image.title";
const FILE_PATH = "org.cncf.model.filepath";

const titled = (path: string, content: Uint8Array = bytes(20)): TestLayer => ({
  type: "application/octet-stream",
  bytes: content,
  annotations: { [TITLE]: path },
});
const layer = (type: string, seed = 0, annotations?: Record<string, string>): TestLayer => ({
  type,
  bytes: bytes(20, seed),
  annotations,
});

async function registryWith(options: RegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startRegistry(options);
  onTestFinished(() => registry.close());
  return registry;
}

function sourcesWith(credentials: Parameters<typeof named>[0] = {}) {
  const sources = testSources({ credentials: named(credentials) });
  onTestFinished(() => sources.close());
  return sources;
}

const refer = ({ host }: TestRegistry, rest: string, credential = ""): Source => ({
  kind: "oci",
  reference: `${host}/${rest}`,
  credential,
});

it("pins a tag to the digest of its manifest", async () => {
  const registry = await registryWith();
  const first = registry.push("org/model", "v1", { layers: [titled("a.txt")] });
  const sources = sourcesWith();
  const resolved = await sources.resolve(refer(registry, "org/model:v1"), request());
  expect(resolved.revision).toBe(first);
  registry.push("org/model", "v1", { layers: [titled("b.txt")] });
  const again = await sources.resolve(refer(registry, "org/model:v1"), request({ revision: first }));
  expect(again.files.map(({ path }) => path)).toEqual(["a.txt"]);
  const moved = await sources.resolve(refer(registry, `org/model@${first}`), request({ revision: "v1" }));
  expect(moved.files.map(({ path }) => path)).toEqual(["b.txt"]);
  const error = await failure(
    sources.resolve(refer(registry, "org/model"), request({ revision: "a/b" })),
    "FIELD_INVALID",
  );
  expect(error.violations[0]?.field).toBe("revision");
});

it("refuses a manifest of another digest", async () => {
  const registry = await registryWith();
  const digest = `sha256:${"0".repeat(64)}`;
  const empty = registry.blob("org/model", { type: "application/vnd.oci.empty.v1+json", bytes: Buffer.from("{}") });
  registry.manifest("org/model", { schemaVersion: 2, config: empty, layers: [] }, { digest, tag: "v1" });
  const sources = sourcesWith();
  for (const rest of ["org/model:v1", `org/model@${digest}`]) {
    const error = await failure(sources.resolve(refer(registry, rest), request()), "CONTENT_MISMATCH");
    expect(error.message).toMatch(/manifest .*org\/model.* does not match its digest/);
  }
});

it("takes the manifest of an index that has no platform", async () => {
  const registry = await registryWith();
  const entry = (digest: string, more: object = {}) => ({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest,
    size: 1,
    ...more,
  });
  const model = registry.push("org/model", "model", { layers: [titled("model.bin")] });
  const other = registry.push("org/model", "other", { layers: [titled("other.bin")] });
  const linux = { platform: { os: "linux", architecture: "amd64" } };
  const attested = {
    platform: { os: "unknown", architecture: "unknown" },
    annotations: { "vnd.docker.reference.type": "attestation-manifest" },
  };
  const index = (tag: string, ...manifests: object[]) =>
    registry.manifest("org/model", { schemaVersion: 2, mediaType: INDEX, manifests }, { type: INDEX, tag });
  index("both", entry(other, linux), entry(model), entry(other, attested));
  index("one", entry(model, linux), entry(other, attested));
  index("many", entry(model, linux), entry(other, { platform: { os: "linux", architecture: "arm64" } }));
  index("none");
  const sources = sourcesWith();
  for (const tag of ["both", "one"]) {
    const { revision, files } = await sources.resolve(refer(registry, `org/model:${tag}`), request());
    expect([revision, files[0]?.path]).toEqual([model, "model.bin"]);
  }
  const error = await failure(sources.resolve(refer(registry, "org/model:many"), request()), "FIELD_INVALID");
  expect(error.message).toContain(`${model} (linux/amd64), ${other} (linux/arm64)`);
  await failure(sources.resolve(refer(registry, "org/model:none"), request()), "FIELD_INVALID");
});

it("names the files of each kind of artifact", async () => {
  const registry = await registryWith();
  const ollama = (kind: string, seed: number) => layer(`application/vnd.ollama.image.${kind}`, seed);
  registry.push("library/llama3", "8b", {
    config: layer("application/vnd.docker.container.image.v1+json", 9),
    layers: ["model", "template", "params", "license", "license", "system"].map(ollama),
  });
  registry.push("org/pack", "v1", {
    artifactType: "application/vnd.cncf.model.manifest.v1+json",
    config: {
      type: "application/vnd.cncf.model.config.v1+json",
      bytes: Buffer.from(JSON.stringify({ descriptor: { licenses: ["MIT", "Apache-2.0"] } })),
    },
    layers: [
      layer("application/vnd.cncf.model.weight.v1.raw", 1, { [FILE_PATH]: "weights/model.safetensors" }),
      layer("application/vnd.cncf.model.weight.config.v1.tar", 2, { [FILE_PATH]: "config.json" }),
      layer("application/vnd.cncf.model.doc.v1.tar+gzip", 3),
      layer("application/vnd.cncf.model.code.v1.tar+zstd", 4),
    ],
  });
  registry.push("org/kit", "v1", {
    config: {
      type: "application/vnd.kitops.modelkit.config.v1+json",
      bytes: Buffer.from('{"manifestVersion":"1.0.0","package":{"license":"BSD-3-Clause"}}'),
    },
    layers: ["model", "modelpart", "code", "code"].map((part, seed) =>
      layer(`application/vnd.kitops.modelkit.${part}.v1.tar+gzip`, seed),
    ),
  });
  registry.push("org/plain", "v1", {
    annotations: { "org.opencontainers.image.licenses": "MIT" },
    layers: [
      titled("README.md"),
      layer("application/vnd.oci.image.layer.v1.tar+gzip", 1, {
        [TITLE]: "docs",
        "io.deis.oras.content.unpack": "true",
      }),
      layer("application/vnd.oci.image.layer.v1.tar+gzip", 2, { [TITLE]: "data.tar.gz" }),
    ],
  });
  const sources = sourcesWith();
  const resolved = async (rest: string) => {
    const { license, files } = await sources.resolve(refer(registry, rest), request());
    return [license, ...files.map(({ path, unpack }) => (unpack === undefined ? path : `${path} (${unpack.format})`))];
  };
  expect(await resolved("library/llama3:8b")).toEqual([
    "",
    "model.gguf",
    "template",
    "params.json",
    "license",
    "license-2",
    "system",
  ]);
  expect(await resolved("org/pack:v1")).toEqual([
    "MIT AND Apache-2.0",
    "weights/model.safetensors",
    "config.json (tar)",
    "doc.tar (tar+gzip)",
    "code.tar (tar+zstd)",
  ]);
  expect(await resolved("org/kit:v1")).toEqual([
    "BSD-3-Clause",
    "model.tar (tar+gzip)",
    "modelpart.tar (tar+gzip)",
    "code.tar (tar+gzip)",
    "code-2.tar (tar+gzip)",
    "Kitfile",
  ]);
  expect(await resolved("org/plain:v1")).toEqual(["MIT", "README.md", "docs (tar+gzip)", "data.tar.gz"]);
});

it("refuses layers that are no files of a model", async () => {
  const registry = await registryWith();
  const container = "application/vnd.oci.image.layer.v1.tar+gzip";
  const cases: [TestLayer[], RegExp][] = [
    [
      [titled("a.txt"), titled("../b.txt")],
      /'org\.opencontainers\.image\.title' of layer 2 \(.*sha256:.*must be a relative path/,
    ],
    [[titled("/etc/passwd")], /of layer 1 .*must be a relative path/],
    [
      [layer("application/vnd.cncf.model.weight.v1.raw", 0, { [FILE_PATH]: "a/../../b" })],
      /'org\.cncf\.model\.filepath' of layer 1/,
    ],
    [[layer("application/vnd.cncf.model.weight.v1.raw")], /must have the annotation 'org\.cncf\.model\.filepath'/],
    [[layer("application/octet-stream")], /must have the annotation 'org\.opencontainers\.image\.title'/],
    [[layer(container)], /layer 1 .* is part of a container's file system/],
    [[titled("a"), titled("a", bytes(3))], /must be distinct: 'a' is there twice/],
    [[titled("a"), titled("a/b")], /must not lie below another file/],
  ];
  const sources = sourcesWith();
  for (const [layers, message] of cases) {
    registry.push("org/model", "v1", { layers });
    const error = await failure(sources.resolve(refer(registry, "org/model:v1"), request()), "FIELD_INVALID");
    expect(error.message).toMatch(message);
  }
});

it("refuses what is no manifest", async () => {
  const registry = await registryWith();
  const sources = sourcesWith();
  const type = "application/vnd.oci.image.manifest.v1+json";
  for (const body of [
    { schemaVersion: 2, mediaType: type },
    { mediaType: type, config: 1, layers: [] },
    "text",
    null,
  ]) {
    registry.manifest("org/model", body, { tag: "v1" });
    await failure(sources.resolve(refer(registry, "org/model:v1"), request()), "SOURCE_UNAVAILABLE");
  }
});

it("says what is missing", async () => {
  const registry = await registryWith();
  registry.push("org/model", "v1", { layers: [titled("a.txt")] });
  const sources = sourcesWith();
  const missing = (rest: string, changes = {}) => sources.resolve(refer(registry, rest), request(changes));
  expect((await failure(missing("org/none:v1"), "SOURCE_NOT_FOUND")).message).toContain(`${registry.host}/org/none:v1`);
  expect((await failure(missing("org/model:v2"), "SOURCE_REVISION_NOT_FOUND")).message).toContain("no tag 'v2'");
  const digest = `sha256:${"0".repeat(64)}`;
  await failure(missing("org/model", { revision: digest }), "SOURCE_REVISION_NOT_FOUND");
  const file = preferred((await missing("org/model:v1")).files[0]);
  registry.forget("org/model", (await missing("org/model:v1")).files[0]?.digest ?? "");
  expect((await failure(open(file), "SOURCE_FILE_NOT_FOUND")).message).toContain("'a.txt' of 'org/model'");
});

it.each(["basic", "bearer"] as const)(
  "shows %s credentials to a registry that asks for them, and nobody else",
  async (auth) => {
    const registry = await registryWith({ auth, blobsElsewhere: true });
    registry.push("org/model", "v1", { layers: [titled("a.txt")] });
    registry.guard("org/model");
    const sources = sourcesWith({
      right: { token: "reader:pa55" },
      kept: { token: "reader:pa55", hosts: ["example.com"] },
    });
    const { files } = await sources.resolve(refer(registry, "org/model:v1", "right"), request());
    expect(await bytesOf(open(preferred(files[0])))).toEqual(bytes(20));
    const route = await preferred(files[0]).route?.(new AbortController().signal);
    expect(route?.target.headers.authorization).toMatch(auth === "basic" ? /^Basic / : /^Bearer /);
    expect(registry.storage.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
    await failure(sources.resolve(refer(registry, "org/model:v1", "kept"), request()), "FIELD_INVALID");
    for (const token of ["reader:wrong", "pa55"]) {
      const asked = sources.resolve(refer(registry, "org/model:v1"), request({ credential: { token } }));
      expect((await failure(asked, "SOURCE_FORBIDDEN")).message).not.toContain("pa55");
    }
    const anonymous = await failure(sources.resolve(refer(registry, "org/model:v1"), request()), "SOURCE_FORBIDDEN");
    expect(anonymous.message).toMatch(/if it is private, give a credential/);
  },
);

it("sends credentials to a token service elsewhere only if the operator lists its host", async () => {
  const registry = await registryWith({ auth: "bearer", tokensElsewhere: true });
  registry.push("org/model", "v1", { layers: [titled("a.txt")] });
  registry.guard("org/model");
  const token = "reader:pa55";
  const sources = sourcesWith({
    listed: { token, hosts: [registry.host, registry.tokenHost] },
    unlisted: { token, hosts: [registry.host] },
    open: { token },
  });
  await sources.resolve(refer(registry, "org/model:v1", "listed"), request());
  expect(registry.tokenRequests.at(-1)?.headers.authorization).toMatch(/^Basic /);
  const before = registry.tokenRequests.length;
  for (const changes of [
    { credential: { name: "unlisted" } },
    { credential: { name: "open" } },
    { credential: { token } },
  ]) {
    const asked = sources.resolve(refer(registry, "org/model:v1"), request(changes));
    expect((await failure(asked, "SOURCE_FORBIDDEN")).message).toContain(`token service at '${registry.tokenHost}'`);
  }
  const later = registry.tokenRequests.slice(before);
  expect(later).toHaveLength(3);
  expect(later.every(({ headers }) => headers.authorization === undefined)).toBe(true);
});

it("asks for another token when the one it has is refused in the middle", async () => {
  const registry = await registryWith({ auth: "bearer" });
  registry.push("org/model", "v1", { layers: [titled("a.txt", bytes(1000))] });
  const sources = sourcesWith();
  const { files } = await sources.resolve(refer(registry, "org/model:v1"), request());
  const origin = preferred(files[0]);
  const asked = registry.tokenRequests.length;
  registry.expireTokens();
  expect(await bytesOf(open(origin, 10))).toEqual(bytes(1000).subarray(10));
  expect(registry.tokenRequests).toHaveLength(asked + 1);
  // One that was good for nothing yet is refused for another reason than its age.
  const fresh = await origin.route?.(new AbortController().signal);
  const refusal = fresh?.refusal(401, { "www-authenticate": `Bearer realm="${registry.registry.base}/token"` });
  expect(refusal?.reason).toBe("SOURCE_FORBIDDEN");
});

it("does not ask a token service without https for a registry with it", async () => {
  const { realmOf } = await import("../../../src/sources/oci/token-service.ts");
  const reference = { origin: "https://r.example", host: "r.example", repository: "a", target: { tag: "b" } };
  expect(() => realmOf(reference, "http://r.example/token")).toThrow(/without https/);
  expect(() => realmOf(reference, "file:///etc/passwd")).toThrow(/no address/);
  expect(realmOf(reference, "https://r.example/token").host).toBe("r.example");
});
