import {
  CreateBucketCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Sources } from "../../../src/domain/ports/sources.ts";
import type { S3Source } from "../../../src/domain/source.ts";
import { digestOf } from "../../store/contract.ts";
import { hasMoto, type Moto, startMoto } from "../../support/moto.ts";
import { deleteObject, putObject, withoutAwsEnvironment } from "../../support/s3-objects.ts";
import { clientOptions } from "../../support/s3-server.ts";
import { bytes, bytesOf, failure, named, open, preferred, request, testSources } from "../helpers.ts";

withoutAwsEnvironment();

describe.skipIf(!hasMoto)("a server with versions, conditions and checksums (moto, where Python has it)", () => {
  let moto: Moto;
  let client: S3Client;
  let sources: Sources;

  beforeAll(async () => {
    moto = await startMoto();
    client = new S3Client(clientOptions(moto.endpoint) satisfies S3ClientConfig);
    for (const Bucket of ["plain", "versioned"]) await client.send(new CreateBucketCommand({ Bucket }));
    const VersioningConfiguration = { Status: "Enabled" as const };
    await client.send(new PutBucketVersioningCommand({ Bucket: "versioned", VersioningConfiguration }));
    sources = testSources({ credentials: named({ key: { token: "anybody:at-all:session-t0ken" } }) });
  });
  afterAll(async () => {
    client?.destroy();
    await Promise.all([sources?.close(), moto?.close()]);
  });

  const resolve = (uri: string) => {
    const source: S3Source = { kind: "s3", uri, endpoint: moto.endpoint, region: "", credential: "key" };
    return sources.resolve(source, request());
  };

  it("has no file that was replaced, and refuses its condition", async () => {
    await putObject(client, "plain", "a/model.bin", bytes(1000));
    const { files } = await resolve("s3://plain/a/");
    await putObject(client, "plain", "a/model.bin", bytes(1000, 7));
    await failure(open(preferred(files[0])), "SOURCE_REVISION_NOT_FOUND");
    await failure(open(preferred(files[0]), 500), "SOURCE_REVISION_NOT_FOUND");
  });

  it("keeps the version that was resolved, whatever comes after it", async () => {
    await putObject(client, "versioned", "a/model.bin", bytes(1000));
    const { files, revision } = await resolve("s3://versioned/a/");
    await putObject(client, "versioned", "a/model.bin", bytes(1000, 7));
    expect((await bytesOf(open(preferred(files[0])))).equals(bytes(1000))).toBe(true);
    await deleteObject(client, "versioned", "a/model.bin");
    expect((await bytesOf(open(preferred(files[0]), 400))).equals(bytes(1000).subarray(400))).toBe(true);
    // What counts is the content, not the version that it came as.
    await putObject(client, "versioned", "a/model.bin", bytes(1000));
    expect((await resolve("s3://versioned/a/")).revision).toBe(revision);
  });

  it("tells the digest of what was uploaded with one", async () => {
    const Body = bytes(1000);
    await client.send(
      new PutObjectCommand({ Bucket: "plain", Key: "sum/model.bin", Body, ChecksumAlgorithm: "SHA256" }),
    );
    expect((await resolve("s3://plain/sum/")).files).toMatchObject([{ digest: digestOf(Body) }]);
  });

  it("signs with the token of a key that was lent", async () => {
    await putObject(client, "plain", "lent/model.bin", bytes(10));
    const { files } = await resolve("s3://plain/lent/");
    const route = await preferred(files[0]).route?.(new AbortController().signal);
    expect(route?.target.path).toContain("X-Amz-Security-Token=session-t0ken");
  });

  it("escapes names in its lists", async () => {
    const name = "a+b c&d%20e <f>#g?模型.bin";
    await putObject(client, "plain", `odd/${name}`, bytes(10));
    const { files } = await resolve("s3://plain/odd/");
    expect(files.map(({ path }) => path)).toEqual([name]);
    expect(await bytesOf(open(preferred(files[0])))).toHaveLength(10);
  });
});
