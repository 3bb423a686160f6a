import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type ResolveRequest, type Sources, SourceUnavailable } from "../../../src/domain/ports/sources.ts";
import type { S3Source } from "../../../src/domain/source.ts";
import type { SourcesOptions } from "../../../src/sources/sources.ts";
import { putObject, withoutAwsEnvironment } from "../../support/s3-objects.ts";
import { refuse, type S3Server, startS3Server } from "../../support/s3-server.ts";
import { bytes, bytesOf, failure, LOOPBACK, named, open, preferred, request, testSources } from "../helpers.ts";

const BUCKET = "models";
const never = new AbortController().signal;

withoutAwsEnvironment();

let server: S3Server;
const opened: Sources[] = [];

beforeAll(async () => {
  server = await startS3Server(BUCKET);
});
afterAll(async () => {
  await Promise.all(opened.map((sources) => sources.close()));
  await server.close();
});
afterEach(() => {
  server.intercept = undefined;
});

const put = (key: string, content: Uint8Array) => putObject(server.client, BUCKET, key, content);

function s3(key: string, changes: Partial<S3Source> = {}): S3Source {
  return {
    kind: "s3",
    uri: `s3://${BUCKET}/${key}`,
    endpoint: server.endpoint,
    region: "",
    credential: "",
    ...changes,
  };
}

/** A page of a list, with what the next one is asked for by if there is one. */
function listOf(contents: string, token?: string): string {
  const next =
    token === undefined ? "" : `<IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken>`;
  return `<ListBucketResult>${next}${contents}</ListBucketResult>`;
}

/** An object of {@link bytes} in a list. */
function listed(key: string, size: number): string {
  const etag = createHash("md5").update(bytes(size)).digest("hex");
  return `<Contents><Key>${key}</Key><Size>${size}</Size><ETag>"${etag}"</ETag></Contents>`;
}

function resolve(source: S3Source, changes: Partial<ResolveRequest> = {}, options: Partial<SourcesOptions> = {}) {
  const sources = testSources(options);
  opened.push(sources);
  return sources.resolve(source, request(changes));
}

describe("what is resolved", () => {
  it("is one object under its own name", async () => {
    await put("single/model.gguf", bytes(1000));
    await put("single/model.gguf.sha256", bytes(10));
    const { files } = await resolve(s3("single/model.gguf"));
    expect(files).toMatchObject([{ path: "model.gguf", size: 1000 }]);
    expect((await bytesOf(open(preferred(files[0])))).equals(bytes(1000))).toBe(true);
  });

  it("is what lies below a prefix, without what stands for its folders, page after page", async () => {
    for (let index = 0; index < 5; index++) await put(`many/sub/${index}.bin`, bytes(index));
    const tokens: (string | null)[] = [];
    server.intercept = ({ url = "" }, response) => {
      if (!url.includes("list-type=2")) return false;
      const token = new URL(url, server.endpoint).searchParams.get("continuation-token");
      tokens.push(token);
      const first = listed("many/", 0) + listed("many/sub/", 0) + listed("many/sub/0.bin", 0);
      const rest = [1, 2, 3, 4].map((index) => listed(`many/sub/${index}.bin`, index)).join("");
      response.setHeader("content-type", "application/xml");
      response.end(token === null ? listOf(first, "t+1/2=") : listOf(rest));
      return true;
    };
    const { files } = await resolve(s3("many/"));
    expect(tokens).toEqual([null, "t+1/2="]);
    expect(files.map(({ path }) => path)).toEqual([0, 1, 2, 3, 4].map((index) => `sub/${index}.bin`));
  });

  it("has the same revision whatever the patterns take", async () => {
    await put("patterns/a.json", bytes(1));
    await put("patterns/b.bin", bytes(2));
    const all = await resolve(s3("patterns/"));
    const some = await resolve(s3("patterns/"), { allowPatterns: ["*.json"], revision: all.revision });
    expect([some.revision, some.files.length]).toEqual([all.revision, 1]);
  });

  it.each([
    ["a//b.bin", /'a\/\/b.bin'/],
    ["a:b.bin", /'a:b.bin'/],
    ["back\\slash", /'back\\slash'/],
    ["folder/", /'folder\/'/],
  ])("has no illegal key: %s", async (path, message) => {
    const prefix = `illegal-${Buffer.from(path).toString("hex")}/`;
    server.intercept = (incoming, response) => {
      if (incoming.url?.includes("list-type=2") !== true) return false;
      response.setHeader("content-type", "application/xml");
      response.end(listOf(listed(prefix + path, 3)));
      return true;
    };
    const error = await failure(resolve(s3(prefix)), "FIELD_INVALID");
    expect(error.message).toMatch(message);
  });
});

describe("what is not there", () => {
  it("is a bucket, by its name", async () => {
    const error = await failure(resolve(s3("", { uri: "s3://no-such-bucket/x/" })), "SOURCE_NOT_FOUND");
    expect(error.message).toContain("'no-such-bucket'");
    await failure(resolve(s3("", { uri: "s3://no-such-bucket/x" })), "SOURCE_NOT_FOUND");
  });

  it("is an object, or was meant as a prefix", async () => {
    await put("meant/a.bin", bytes(1));
    const nothing = await failure(resolve(s3("nothing.bin")), "SOURCE_FILE_NOT_FOUND");
    expect(nothing.message).toContain("'nothing.bin'");
    expect(nothing.message).not.toContain("slash");
    const meant = await failure(resolve(s3("meant")), "SOURCE_FILE_NOT_FOUND");
    expect(meant.message).toContain("end the address with a slash");
  });

  it("is anything below a prefix", async () => {
    expect((await failure(resolve(s3("nowhere/")), "SOURCE_NOT_FOUND")).message).toContain("'nowhere/'");
  });
});

describe("credentials", () => {
  const source = () => s3("guarded/model.bin", { credential: "key" });
  const key = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };
  const wrong = { ...key, secretAccessKey: "no-such-s3cret" };
  beforeAll(() => put("guarded/model.bin", bytes(500)));

  it("are a named access key, which signs lists and reads", async () => {
    const { files } = await resolve(source(), {}, { credentials: named({ key: { accessKey: key } }) });
    expect(await bytesOf(open(preferred(files[0])))).toHaveLength(500);
    const route = await preferred(files[0]).route?.(never);
    expect(route?.target.path).toContain("X-Amz-Signature=");
    expect(route?.redirected).toBe(true);
  });

  it("are refused if their secret is another", async () => {
    const refused = resolve(source(), {}, { credentials: named({ key: { accessKey: wrong } }) });
    const error = await failure(refused, "SOURCE_FORBIDDEN");
    expect(error.message).not.toContain("s3cret");
    expect(error).not.toBeInstanceOf(SourceUnavailable);
  });

  it("are kept for their hosts, and no token", async () => {
    const elsewhere = named({ key: { accessKey: key, hosts: ["s3.eu-west-1.amazonaws.com"] } });
    await failure(resolve(source(), {}, { credentials: elsewhere }), "FIELD_INVALID");
    await failure(resolve(source(), {}, { credentials: named({ key: { token: "hf_abc" } }) }), "FIELD_INVALID");
  });

  it("are the environment's, for its own server, where a source names none; else it is asked unsigned", async () => {
    const anonymous = { ...source(), credential: "" };
    const asOwn = () => resolve(anonymous, {}, { s3: { endpoint: server.endpoint, region: "us-east-1" } });
    expect((await failure(asOwn(), "SOURCE_FORBIDDEN")).message).toContain("AWS_ACCESS_KEY_ID");
    process.env.AWS_ACCESS_KEY_ID = key.accessKeyId;
    process.env.AWS_SECRET_ACCESS_KEY = key.secretAccessKey;
    try {
      expect((await asOwn()).files).toHaveLength(1);
      await failure(resolve(anonymous), "SOURCE_FORBIDDEN");
    } finally {
      withoutAwsEnvironment();
    }
  });
});

describe("an object that is changed", () => {
  it("is told when its bytes are asked for, whatever the server compares", async () => {
    await put("changed/model.bin", bytes(1000));
    const resolved = await resolve(s3("changed/"));
    const origin = preferred(resolved.files[0]);
    await origin.route?.(never);
    await put("changed/model.bin", bytes(1000, 7));
    for (const ask of [() => open(origin), () => open(origin, 500), () => origin.route?.(never) ?? Promise.resolve()]) {
      const error = await failure(ask(), "SOURCE_REVISION_NOT_FOUND");
      expect(error.message).toContain("'model.bin'");
    }
    await failure(resolve(s3("changed/"), { revision: resolved.revision }), "SOURCE_REVISION_NOT_FOUND");
  });

  it("is told by servers that compare", async () => {
    await put("compared/model.bin", bytes(1000));
    const { files } = await resolve(s3("compared/"));
    const route = await preferred(files[0]).route?.(never);
    expect(route?.target.headers["if-match"]).toMatch(/^"[0-9a-f]{32}"$/);
    expect(route?.refusal(412, {}).reason).toBe("SOURCE_REVISION_NOT_FOUND");
  });
});

describe("a server", () => {
  const answerLists = (answer: (url: string, response: Parameters<typeof refuse>[0]) => boolean) => {
    server.intercept = ({ url = "" }, response) => url.includes("list-type=2") && answer(url, response);
  };

  it.each([
    ["a header", { "x-amz-bucket-region": "eu-west-1" }, ""],
    ["the body", {}, "<Region>eu-west-1</Region>"],
  ])("that names another region in %s is asked there, or said to be there", async (_where, headers, more) => {
    await put("region/a.bin", bytes(1));
    server.intercept = (incoming, response) => {
      if (incoming.headers.authorization?.includes("/us-east-1/s3/") !== true) return false;
      refuse(response, 400, "AuthorizationHeaderMalformed", headers, more);
      return true;
    };
    const credential = { token: "S3RVER:S3RVER" };
    expect((await resolve(s3("region/"), { credential })).files).toHaveLength(1);
    const error = await failure(resolve(s3("region/", { region: "us-east-1" }), { credential }), "FIELD_INVALID");
    expect(error.message).toContain("must be 'eu-west-1'");
  });

  it("that asks for fewer requests may be asked again", async () => {
    answerLists((_url, response) => {
      refuse(response, 503, "SlowDown", { "retry-after": "3" });
      return true;
    });
    const error = await failure(resolve(s3("slow/")), "SOURCE_UNAVAILABLE");
    expect(error).toMatchObject({ retryAfterMs: 3000 });
    expect(error).toBeInstanceOf(SourceUnavailable);
  });

  it.each([
    ["a page for people", "<html><body>Sign in</body></html>"],
    ["no list", "{}"],
    ["keys of elsewhere", listOf(listed("x", 1))],
  ])("that answers %s is said not to be one of S3", async (_what, body) => {
    answerLists((_url, response) => {
      response.setHeader("content-type", "application/xml");
      response.end(body);
      return true;
    });
    const error = await resolve(s3("odd/")).catch((caught: unknown) => caught);
    expect(["SOURCE_UNAVAILABLE", "SOURCE_NOT_FOUND"]).toContain((error as { reason?: string }).reason);
    expect(error).not.toBeInstanceOf(SourceUnavailable);
  });

  it("leads nowhere: its redirects are not followed, for a signature is for one address", async () => {
    answerLists((_url, response) => {
      refuse(response, 307, "TemporaryRedirect", { location: `${server.endpoint}/elsewhere/` });
      return true;
    });
    await failure(resolve(s3("led/")), "SOURCE_UNAVAILABLE");
    expect(server.requests.some((line) => line.includes("elsewhere"))).toBe(false);
  });

  it("at an address that is not allowed is never connected to, by whatever name", async () => {
    const before = server.requests.length;
    const lookup = async () => [{ address: "127.0.0.1", family: 4 }];
    const hidden = { allowNetworks: [], lookup };
    const endpoint = `http://s3.example.com:${server.port}`;
    await failure(resolve(s3("a/", { endpoint }), {}, hidden), "ADDRESS_NOT_ALLOWED");
    await failure(resolve(s3("a", { endpoint }), {}, hidden), "ADDRESS_NOT_ALLOWED");
    await failure(resolve(s3("a/", { endpoint: "http://169.254.169.254" }), {}, hidden), "ADDRESS_NOT_ALLOWED");
    await failure(resolve(s3("a/", { endpoint: "" }), {}, hidden), "ADDRESS_NOT_ALLOWED");
    expect(server.requests).toHaveLength(before);
    await put("allowed/a.bin", bytes(1));
    const { files } = await resolve(s3("allowed/", { endpoint }), {}, { allowNetworks: LOOPBACK, lookup });
    expect(await bytesOf(open(preferred(files[0])))).toHaveLength(1);
  });
});

it("takes the SDK along for nobody who does not use it", () => {
  const root = `${import.meta.dirname}/../../..`;
  const early = /^(?:import|export) (?!type)[^;]*from "(?:@aws-sdk[^"]*|[^"]*\/s3\/[^"]*)"/m;
  const files = globSync("src/**/*.ts", { cwd: root }).filter((file) => !/^src\/(?:sources|store)\/s3\//.test(file));
  expect(files.length).toBeGreaterThan(100);
  expect(files.filter((file) => early.test(readFileSync(`${root}/${file}`, "utf8")))).toEqual([]);
});
