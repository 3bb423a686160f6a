import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Sources, SourceUnavailable } from "../../src/domain/ports/sources.ts";
import type { HuggingFaceSource } from "../../src/domain/source.ts";
import { gitBlobSha1, startHub, type TestHub } from "../support/hub.ts";
import { startOrigin } from "../support/origin.ts";
import { bytes, bytesOf, failure, named, open, preferred, request, testSources } from "./helpers.ts";

const TOKEN = "hub-t0ken";
const WEIGHTS = bytes(200_000);
const CONFIG = Buffer.from('{"model_type": "llama"}');
const FILES = {
  "config.json": CONFIG,
  "model.safetensors": { bytes: WEIGHTS, lfs: true },
  "onnx/model.onnx": { bytes: bytes(5000), lfs: true },
  "onnx/deep/er/readme.txt": bytes(30),
  "original/a b+c#d%20?é.txt": bytes(40),
  ".gitattributes": bytes(50),
};

let hub: TestHub;
let sources: Sources;
const made: Sources[] = [];

beforeEach(async () => {
  hub = await startHub({ token: TOKEN });
  sources = using({});
});

afterEach(async () => {
  await Promise.all(made.splice(0).map((created) => created.close()));
  await hub.close();
});

function using(options: Parameters<typeof testSources>[0]): Sources {
  const created = testSources({ hfEndpoint: hub.endpoint, timeouts: { headersMs: 500, stallMs: 500 }, ...options });
  made.push(created);
  return created;
}

function source(changes: Partial<HuggingFaceSource> = {}): HuggingFaceSource {
  return {
    kind: "huggingface",
    repo: "org/model",
    revision: "",
    allowPatterns: [],
    ignorePatterns: [],
    endpoint: "",
    credential: "",
    ...changes,
  };
}

const tokensOf = (server: TestHub["hub"]) => new Set(server.requests.map(({ headers }) => headers.authorization));

describe("resolving", () => {
  it("tells what the card says", async () => {
    hub.commit("org/card", {
      files: FILES,
      license: "other",
      tags: ["text-generation", "region:us"],
      card: { license_name: "qwen-research", base_model: ["org/base", "org/other"] },
    });
    expect(await sources.resolve(source({ repo: "org/card" }), request())).toMatchObject({
      license: "qwen-research",
      card: {
        baseModels: ["org/base", "org/other"],
        tags: ["safetensors", "text-generation", "region:us", "license:other"],
        gated: false,
      },
    });
    hub.commit("org/odd", { files: FILES, license: "mit", card: { base_model: { of: 1 }, license_name: 7 } });
    const odd = await sources.resolve(source({ repo: "org/odd" }), request());
    expect(odd).toMatchObject({ license: "mit", card: { baseModels: [] } });
  });

  it("brings texts into a form that can be kept", async () => {
    hub.commit("org/odd", { files: FILES, license: "mit\0\ud800" });
    const resolved = await sources.resolve(source({ repo: "org/odd" }), request());
    expect(resolved.license).toBe("mit\ufffd\ufffd");
  });

  it("pins the revision and lists all pages of the tree with what proves each file", async () => {
    const commit = hub.commit("org/model", { files: FILES, license: "apache-2.0" });
    const resolved = await sources.resolve(source(), request());
    expect(resolved).toMatchObject({ revision: commit, license: "apache-2.0" });
    expect(resolved.files.map(({ path }) => path).sort()).toEqual(Object.keys(FILES).sort());
    const file = (path: string) => resolved.files.find((other) => other.path === path);
    expect(file("model.safetensors")).toMatchObject({
      size: 200_000,
      digest: `sha256:${createHash("sha256").update(WEIGHTS).digest("hex")}`,
      gitBlobSha1: undefined,
      origins: [{ host: `127.0.0.1:${hub.hub.port}` }],
    });
    expect(file("config.json")).toMatchObject({
      size: CONFIG.length,
      digest: undefined,
      gitBlobSha1: gitBlobSha1(CONFIG),
    });
    expect(new Set(resolved.files.map(({ identity }) => identity)).size).toBe(resolved.files.length);
    const trees = hub.hub.requests.filter(({ path }) => path.includes("/tree/"));
    expect(trees.length).toBeGreaterThan(3);
    for (const { path } of trees) expect(path).toContain(`/tree/${commit}`);
  });

  it("follows branches, tags, pull requests' references and commits, the request's before the source's", async () => {
    const old = hub.commit("org/model", { files: { "config.json": CONFIG } }, ["v1.0", "refs/pr/1"]);
    const recent = hub.commit("org/model", { files: FILES });
    const pinned = async (ofSource: string, ofRequest = "") =>
      (await sources.resolve(source({ revision: ofSource }), request({ revision: ofRequest }))).revision;
    expect(await pinned("")).toBe(recent);
    expect(await pinned("main")).toBe(recent);
    expect(await pinned("v1.0")).toBe(old);
    expect(await pinned("refs/pr/1")).toBe(old);
    expect(await pinned(old)).toBe(old);
    expect(await pinned("v1.0", "main")).toBe(recent);
  });

  it("reads the files of the commit that was pinned even if the branch moves on", async () => {
    hub.commit("org/model", { files: { "config.json": CONFIG } });
    const { files } = await sources.resolve(source(), request());
    hub.commit("org/model", { files: { "config.json": bytes(9) } });
    expect((await bytesOf(open(preferred(files[0])))).equals(CONFIG)).toBe(true);
  });

  it("follows a repository to its new name", async () => {
    const commit = hub.commit("org/renamed", { files: FILES });
    hub.rename("org/model", "org/renamed");
    expect((await sources.resolve(source(), request())).revision).toBe(commit);
  });

  it.each([
    [["*.safetensors", "*.json"], [], ["config.json", "model.safetensors"]],
    [["onnx/"], [], ["onnx/deep/er/readme.txt", "onnx/model.onnx"]],
    [["*.txt"], ["original/"], ["onnx/deep/er/readme.txt"]],
    [[], ["*/*", ".*"], ["config.json", "model.safetensors"]],
  ])("takes what %j allow and %j do not ignore", async (allowPatterns, ignorePatterns, expected) => {
    hub.commit("org/model", { files: FILES });
    const ofSource = await sources.resolve(source({ allowPatterns, ignorePatterns }), request());
    expect(ofSource.files.map(({ path }) => path).sort()).toEqual(expected);
    const other = source({ allowPatterns: ["nothing"] });
    const ofRequest = await sources.resolve(other, request({ allowPatterns, ignorePatterns }));
    expect(ofRequest.files.map(({ path }) => path).sort()).toEqual(expected);
  });

  it("says what is missing: the repository, the revision", async () => {
    hub.commit("org/model", { files: FILES });
    const repo = await failure(sources.resolve(source({ repo: "org/none" }), request()), "SOURCE_NOT_FOUND");
    expect(repo.message).toContain("'org/none'");
    expect(repo.metadata).toEqual({ http_status: "401" });
    const revision = await failure(sources.resolve(source({ revision: "v9" }), request()), "SOURCE_REVISION_NOT_FOUND");
    expect(revision.message).toContain("'v9'");
    const authorized = using({ hfToken: TOKEN });
    const again = await failure(authorized.resolve(source({ repo: "org/none" }), request()), "SOURCE_NOT_FOUND");
    expect(again.metadata).toEqual({ http_status: "404" });
  });

  it("says that a token is not accepted, without saying the token", async () => {
    hub.commit("org/model", { files: FILES });
    const error = await failure(
      sources.resolve(source(), request({ credential: { token: "wr0ng" } })),
      "SOURCE_FORBIDDEN",
    );
    expect(error.message).toContain("does not accept the token");
    expect(error.message).not.toContain("wr0ng");
  });

  it("refuses a path that no version can have", async () => {
    hub.commit("org/model", { files: { "config.json": CONFIG, "a:b": CONFIG } });
    expect((await failure(sources.resolve(source(), request()), "FIELD_INVALID")).message).toContain("'a:b'");
    expect((await sources.resolve(source({ ignorePatterns: ["*:*"] }), request())).files).toHaveLength(1);
  });
});

describe("gated and private repositories", () => {
  beforeEach(() => {
    hub.commit("org/gated", { files: FILES, gated: true });
    hub.commit("org/private", { files: FILES, private: true });
  });

  it("need a token, and say what to do", async () => {
    const gated = await failure(sources.resolve(source({ repo: "org/gated" }), request()), "SOURCE_FORBIDDEN");
    expect(gated.message).toMatch(/accept its conditions on .* and give a token/);
    const hidden = await failure(sources.resolve(source({ repo: "org/private" }), request()), "SOURCE_NOT_FOUND");
    expect(hidden.message).toContain("if it is private, give a token");
  });

  it("are read with the manager's token, a named one, or the call's", async () => {
    const ways = [
      { with: using({ hfToken: TOKEN }), source: source({ repo: "org/gated" }) },
      {
        with: using({ credentials: named({ mine: { token: TOKEN } }) }),
        source: source({ repo: "org/private", credential: "mine" }),
      },
      { with: sources, source: source({ repo: "org/gated" }), credential: { token: TOKEN } },
    ];
    for (const way of ways) {
      const { files } = await way.with.resolve(way.source, request({ credential: way.credential }));
      const weights = files.find(({ path }) => path === "model.safetensors");
      expect((await bytesOf(open(preferred(weights)))).equals(WEIGHTS)).toBe(true);
    }
  });

  it("that close while a download runs are refused at the file", async () => {
    hub.commit("org/model", { files: FILES });
    const { files } = await sources.resolve(source(), request());
    hub.commit("org/model", { files: FILES, gated: true });
    await failure(open(preferred(files[0])), "SOURCE_FORBIDDEN");
  });
});

describe("the token", () => {
  it("goes to the hub, never to its CDN", async () => {
    hub.commit("org/model", { files: FILES });
    const authorized = using({ hfToken: TOKEN });
    const { files } = await authorized.resolve(source(), request());
    for (const file of files) await bytesOf(open(preferred(file)));
    expect(tokensOf(hub.hub)).toEqual(new Set([`Bearer ${TOKEN}`]));
    expect(hub.cdn.requests).toHaveLength(2);
    expect(tokensOf(hub.cdn)).toEqual(new Set([undefined]));
  });

  it("of the manager goes to no other hub than its own", async () => {
    hub.commit("org/model", { files: FILES });
    const elsewhere = using({ hfEndpoint: "https://hub.example", hfToken: TOKEN });
    await elsewhere.resolve(source({ endpoint: `${hub.endpoint}/` }), request());
    expect(tokensOf(hub.hub)).toEqual(new Set([undefined]));
    const here = using({ hfToken: TOKEN });
    await here.resolve(source({ endpoint: `${hub.endpoint}/` }), request());
    expect(tokensOf(hub.hub)).toEqual(new Set([undefined, `Bearer ${TOKEN}`]));
  });

  it("does not go to where a hub says that its next page is", async () => {
    const thief = await startOrigin({
      fallback(_, response) {
        response.writeHead(200).end("[]");
        return true;
      },
    });
    const liar = await startOrigin({
      fallback({ path }, response) {
        const isTree = path.includes("/tree/");
        const entry = { type: "file", path: "a", size: 1, oid: "0".repeat(40) };
        response.writeHead(200, isTree ? { link: `<${thief.base}/steal>; rel="next"` } : {});
        response.end(JSON.stringify(isTree ? [entry] : { sha: "a".repeat(40), tags: [] }));
        return true;
      },
    });
    await using({ hfEndpoint: liar.base, hfToken: TOKEN }).resolve(source(), request());
    expect(thief.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    await Promise.all([thief.close(), liar.close()]);
  });
});

describe("reading", () => {
  const fileOf = async (path: string) => {
    hub.commit("org/model", { files: FILES });
    const { files } = await sources.resolve(source(), request());
    return preferred(files.find((file) => file.path === path));
  };
  const blob = `/blobs/${createHash("sha256").update(WEIGHTS).digest("hex")}`;

  it("reads small files from the hub and large ones from the CDN, whole and in part", async () => {
    const paths = Object.keys(FILES) as (keyof typeof FILES)[];
    for (const path of paths) {
      const file = FILES[path];
      const expected = file instanceof Uint8Array ? file : file.bytes;
      const origin = await fileOf(path);
      const whole = await open(origin);
      expect(whole.size, path).toBe(expected.length);
      expect((await bytesOf(whole)).equals(expected), path).toBe(true);
      const rest = await open(origin, 10, whole.validator);
      expect(rest.offset, path).toBe(10);
      expect((await bytesOf(rest)).equals(expected.subarray(10)), path).toBe(true);
    }
  });

  it("goes on where a connection broke, with a fresh signature, whatever the CDN calls the object now", async () => {
    const origin = await fileOf("model.safetensors");
    hub.cdn.behave(blob, { dropAfter: 50_000, times: 1 });
    const first = await open(origin);
    const got: Uint8Array[] = [];
    await failure(
      (async () => {
        for await (const chunk of first.body) got.push(chunk);
      })(),
      "SOURCE_UNAVAILABLE",
    );
    hub.expireSignatures();
    hub.cdn.behave(blob, { etag: '"another machine"' });
    const rest = await open(origin, 50_000, first.validator);
    expect(rest.offset).toBe(50_000);
    expect(Buffer.concat([...got, await bytesOf(rest)]).equals(WEIGHTS)).toBe(true);
  });

  it("reads what the hub keeps as chunks through the address that puts them together", async () => {
    hub.commit("org/xet", { files: { "model.safetensors": { bytes: WEIGHTS, lfs: true, xet: true } } });
    const { files } = await sources.resolve(source({ repo: "org/xet" }), request());
    expect(files[0]).toMatchObject({
      size: WEIGHTS.length,
      digest: `sha256:${createHash("sha256").update(WEIGHTS).digest("hex")}`,
    });
    expect((await bytesOf(open(preferred(files[0]), 1000))).equals(WEIGHTS.subarray(1000))).toBe(true);
    expect(hub.hub.requests.filter(({ path }) => path.includes("xet-read-token"))).toEqual([]);
  });

  it("starts over for another file's validator", async () => {
    expect(await open(await fileOf("model.safetensors"), 10, "another")).toMatchObject({ offset: 0 });
  });

  it("passes on what the CDN does", async () => {
    const origin = await fileOf("model.safetensors");
    hub.cdn.behave(blob, { status: 503, headers: { "retry-after": "3" } });
    const busy = await failure(open(origin), "SOURCE_UNAVAILABLE");
    expect((busy as SourceUnavailable).retryAfterMs).toBe(3000);
    hub.cdn.behave(blob, { status: 403 });
    const refused = await failure(open(origin), "SOURCE_FORBIDDEN");
    expect(refused.message).not.toContain("Signature");
  });
});

describe("a hub that asks for fewer requests", () => {
  it.each([
    [{ ratelimit: '"resolvers";r=0;t=58' }, 58_000],
    [{ ratelimit: '"api";r=0;t=7, "pages";r=3;t=99' }, 7000],
    [{ ratelimit: '"api";r=0;t=999999' }, 300_000],
    [{ ratelimit: '"api";r=0;t=58', "retry-after": "2" }, 2000],
    [{ ratelimit: '"api";r=5;t=58' }, undefined],
    [{ ratelimit: "later" }, undefined],
  ])("and says %j is left alone for %d ms", async (headers, expected) => {
    hub.commit("org/model", { files: FILES });
    const { files } = await sources.resolve(source(), request());
    hub.behave({ status: 429, headers: Object.fromEntries(Object.entries(headers)) });
    for (const ask of [() => sources.resolve(source(), request()), () => open(preferred(files[0]))]) {
      const error = await failure(ask(), "SOURCE_UNAVAILABLE");
      expect(error).toBeInstanceOf(SourceUnavailable);
      expect(error).toMatchObject({ retryAfterMs: expected, metadata: { http_status: "429" } });
      expect(error.message).toContain("asks for fewer requests");
    }
  });
});

describe("a server that is no hub", () => {
  it.each([
    ["no JSON", "<html>"],
    ["other JSON", "{}"],
    ["a commit that is none", '{"sha": "../../etc"}'],
  ])("is told apart: %s", async (_, body) => {
    const other = await startOrigin({
      fallback(_request, response) {
        response.writeHead(200).end(body);
        return true;
      },
    });
    const error = await failure(using({ hfEndpoint: other.base }).resolve(source(), request()), "SOURCE_UNAVAILABLE");
    expect(error).not.toBeInstanceOf(SourceUnavailable);
    expect(error.message).toContain("does not answer as a Hugging Face hub does");
    await other.close();
  });

  it("cannot keep the manager listing for ever", async () => {
    const endless = await startOrigin({
      fallback({ path }, response) {
        const isTree = path.includes("/tree/");
        response.writeHead(200, isTree ? { link: `<${endless.base}${path}>; rel="next"` } : {});
        response.end(isTree ? "[]" : JSON.stringify({ sha: "a".repeat(40), tags: [] }));
        return true;
      },
    });
    const error = await failure(using({ hfEndpoint: endless.base }).resolve(source(), request()), "SOURCE_UNAVAILABLE");
    expect(error.message).toContain("never comes to an end");
    await endless.close();
  });

  it("that is away or hangs is worth another try, and a signal ends the wait", async () => {
    const silent = await startOrigin({ fallback: () => true });
    const waiting = using({ hfEndpoint: silent.base });
    expect(await failure(waiting.resolve(source(), request()), "SOURCE_UNAVAILABLE")).toBeInstanceOf(SourceUnavailable);
    const away = using({ hfEndpoint: "http://127.0.0.1:1" });
    expect(await failure(away.resolve(source(), request()), "SOURCE_UNAVAILABLE")).toBeInstanceOf(SourceUnavailable);
    const reason = new Error("enough");
    await expect(waiting.resolve(source(), request({ signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    await silent.close();
  });
});
