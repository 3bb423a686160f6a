import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Digest, hexOfDigest } from "../../src/domain/digest.ts";
import { createS3Store, type S3Store, type S3StoreOptions } from "../../src/store/s3/s3-store.ts";
import { silent } from "../sources/helpers.ts";
import { hasMoto, type Moto, startMoto } from "../support/moto.ts";
import { keysBelow, putObject } from "../support/s3-objects.ts";
import { clientOptions, refuse, S3_KEY, type S3Server, startS3Server } from "../support/s3-server.ts";
import { describeBlobStore, digestOf, type StoreUnderTest, spool } from "./contract.ts";

const BUCKET = "store";
const never = new AbortController().signal;

let server: S3Server;
let moto: Moto | undefined;
let stores = 0;
const opened: StoreUnderTest[] = [];

beforeAll(async () => {
  server = await startS3Server(BUCKET);
  if (!hasMoto) return;
  moto = await startMoto();
  await clientOf(moto.endpoint).send(new CreateBucketCommand({ Bucket: BUCKET }));
});
afterAll(async () => {
  await Promise.all(opened.map((under) => under.close()));
  await Promise.all([server.close(), moto?.close()]);
});

const clients = new Map<string, S3Client>();
function clientOf(endpoint: string): S3Client {
  const client = clients.get(endpoint) ?? new S3Client(clientOptions(endpoint));
  clients.set(endpoint, client);
  return client;
}

const keyOf = (prefix: string, digest: Digest) => {
  const hex = hexOfDigest(digest);
  return `${prefix}blobs/sha256/${hex.slice(0, 2)}/${hex}`;
};

interface Opened extends StoreUnderTest {
  readonly store: S3Store;
  readonly prefix: string;
}

/** A store below a prefix of its own. */
async function openStore(endpoint: string, options: Partial<S3StoreOptions> = {}): Promise<Opened> {
  const spoolDirectory = await mkdtemp(join(os.tmpdir(), "s3-store-"));
  const prefix = options.prefix ?? `stores/${++stores}/`;
  const location = { bucket: BUCKET, endpoint, region: "us-east-1", accessKey: S3_KEY };
  const store = await createS3Store({ ...location, spoolDirectory, log: silent, ...options, prefix });
  const close = async () => {
    store.close();
    await rm(spoolDirectory, { recursive: true, force: true });
  };
  const plant = (digest: Digest, bytes: Uint8Array) =>
    putObject(clientOf(endpoint), BUCKET, keyOf(prefix, digest), bytes);
  return { store, plant, close, prefix };
}

/** A store that is closed at the end. */
async function open(endpoint: string, options?: Partial<S3StoreOptions>): Promise<Opened> {
  const under = await openStore(endpoint, options);
  opened.push(under);
  return under;
}

describeBlobStore("s3", () => openStore(server.endpoint));

describe.skipIf(!hasMoto)("with conditions (moto, where Python has it)", () => {
  const endpoint = () => moto?.endpoint ?? "";
  describeBlobStore("s3 at moto", () => openStore(endpoint()));

  it("leaves what is there alone if it is the blob, and no upload behind", async () => {
    const { store, prefix } = await open(endpoint());
    const bytes = randomBytes(9_000_000);
    const spooled = await Promise.all([spool(store, bytes), spool(store, bytes)]);
    await Promise.all(spooled.map(({ digest, path }) => store.commit(digest, path)));
    expect(await store.verify(digestOf(bytes), { signal: never })).toEqual({ found: "intact", size: bytes.length });
    expect(await uploadsBelow(prefix)).toBe(0);
    expect(await readdir(store.spoolDirectory)).not.toContain(spooled[0]?.path);
  });

  it("throws away an upload whose bytes turn out to be others", async () => {
    const { store, prefix } = await open(endpoint());
    const { path } = await spool(store, randomBytes(9_000_000));
    const digest = digestOf(randomBytes(8));
    await expect(store.commit(digest, path)).rejects.toMatchObject({ reason: "CONTENT_MISMATCH" });
    expect(await store.stat(digest)).toBeUndefined();
    expect(await uploadsBelow(prefix)).toBe(0);
  });

  it("throws uploads away that a dead process left behind, and no others", async () => {
    const { store, prefix } = await open(endpoint(), { abandonedAfterMs: 0 });
    // The server calls all uploads years old.
    const patient = await open(endpoint(), { prefix, abandonedAfterMs: 100 * 365 * 24 * 3_600_000 });
    const upload = { Bucket: BUCKET, Key: keyOf(prefix, digestOf(randomBytes(8))) };
    const client = clientOf(endpoint());
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(upload));
    await client.send(new UploadPartCommand({ ...upload, UploadId, PartNumber: 1, Body: randomBytes(10) }));
    expect(await patient.store.abortAbandoned()).toBe(0);
    expect(await uploadsBelow(prefix)).toBe(1);
    await store.emptyQuarantine(60_000, false);
    expect(await uploadsBelow(prefix)).toBe(0);
  });

  it("puts aside what is too large to be copied at once", async () => {
    const { store, plant } = await open(endpoint(), { copyLimitBytes: 1000 });
    const digest = digestOf(randomBytes(8));
    await plant(digest, randomBytes(2000));
    expect(await store.quarantine(digest, await store.verify(digest, { signal: never }))).toBe(true);
    expect(await store.stat(digest)).toBeUndefined();
    expect(await store.emptyQuarantine(0, false)).toBe(2000);
  });

  async function uploadsBelow(Prefix: string): Promise<number> {
    const { Uploads = [] } = await clientOf(endpoint()).send(
      new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix }),
    );
    return Uploads.length;
  }
});

describe("s3 store", () => {
  afterEach(() => {
    server.intercept = undefined;
  });

  it("lays blobs out as on a disk, below its prefix", async () => {
    const { store, prefix } = await open(server.endpoint);
    const { digest, path } = await spool(store, randomBytes(10));
    await store.commit(digest, path);
    expect(await keysBelow(server.client, BUCKET, prefix)).toEqual([keyOf(prefix, digest)]);
  });

  it("hashes once more what it uploads, small or large", async () => {
    const { store } = await open(server.endpoint);
    for (const size of [10, 9 << 20]) {
      const digest = digestOf(randomBytes(8));
      const { path } = await spool(store, randomBytes(size));
      await expect(store.commit(digest, path)).rejects.toMatchObject({ reason: "CONTENT_MISMATCH" });
      expect(await store.stat(digest)).toBeUndefined();
      // Whoever has it may look at it.
      expect(await readdir(store.spoolDirectory)).toHaveLength(1);
      await rm(path);
    }
  });

  it("throws away an upload that fails on its way", async () => {
    const { store } = await open(server.endpoint);
    const { digest, path } = await spool(store, randomBytes(9_000_000));
    const before = server.requests.length;
    server.intercept = ({ url = "" }, response) => {
      if (!url.includes("partNumber=2")) return false;
      refuse(response, 403, "AccessDenied");
      return true;
    };
    await expect(store.commit(digest, path)).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect(server.requests.slice(before).filter((line) => /^DELETE .*uploadId=/.test(line))).toHaveLength(1);
    server.intercept = undefined;
    expect(await store.stat(digest)).toBeUndefined();
    // Its file is still there for another try.
    await store.commit(digest, path);
    expect(await store.stat(digest)).toEqual({ size: 9_000_000 });
  });

  it("answers while many read", async () => {
    const { store } = await open(server.endpoint);
    const { digest, path } = await spool(store, randomBytes(9_000_000));
    await store.commit(digest, path);
    const reading = await Promise.all(Array.from({ length: 60 }, () => store.read(digest)));
    try {
      await store.check();
    } finally {
      for (const body of reading) body.destroy();
    }
  });

  it("goes on with a read that breaks off, from the same object", async () => {
    const { store } = await open(server.endpoint);
    const bytes = randomBytes(3_000_000);
    const { digest, path } = await spool(store, bytes);
    await store.commit(digest, path);
    let cuts = 0;
    server.intercept = (request, response) => {
      if (request.method !== "GET" || cuts === 2) return false;
      cuts += 1;
      const write = response.write.bind(response);
      let sent = 0;
      response.write = ((chunk: Buffer) => {
        sent += chunk.length;
        if (sent < 200_000) return write(chunk);
        response.destroy();
        return false;
      }) as typeof response.write;
      return false;
    };
    const read = await buffer(await store.read(digest, { start: 10, end: 2_900_000 }));
    expect(read.equals(bytes.subarray(10, 2_900_000))).toBe(true);
    expect(cuts).toBe(2);
  });

  it("is unavailable, rather than empty, without its bucket or its objects", async () => {
    const { store } = await open(server.endpoint);
    const digest = digestOf(randomBytes(8));
    const gone = { reason: "STORE_UNAVAILABLE" };
    await expect(store.verify(digest, { signal: never })).rejects.toMatchObject(gone);
    await expect(store.quarantine(digest, { found: "missing" })).rejects.toMatchObject(gone);
    server.intercept = (_request, response) => {
      refuse(response, 404, "NoSuchBucket");
      return true;
    };
    for (const ask of [
      () => store.stat(digest),
      () => store.read(digest),
      () => store.verify(digest, { signal: never }),
      () => store.check(),
    ]) {
      await expect(ask()).rejects.toMatchObject(gone);
    }
  });

  it("says how full the disk of its spool folder is, and nothing of the bucket", async () => {
    const { store } = await open(server.endpoint);
    expect(await store.space()).toEqual({});
    expect((await store.spoolSpace()).freeBytes).toBeGreaterThan(0);
  });

  it("is full when the server says so", async () => {
    const { store } = await open(server.endpoint);
    const { digest, path } = await spool(store, randomBytes(10));
    server.intercept = ({ method }, response) => {
      if (method !== "PUT") return false;
      refuse(response, 507, "InsufficientStorage");
      return true;
    };
    await expect(store.commit(digest, path)).rejects.toMatchObject({ reason: "DISK_FULL" });
  });

  it.each([
    ["a bucket that is not there", { bucket: "no-such-bucket" }, /no such bucket/],
    ["a key that is not known", { accessKey: { accessKeyId: "NOBODY", secretAccessKey: "s3cret" } }, /may not be used/],
  ])("is not opened with %s", async (_what, options, message) => {
    const opening = openStore(server.endpoint, options);
    await expect(opening).rejects.toMatchObject({
      reason: "STATE_INVALID",
      message: expect.stringMatching(message),
    });
    await expect(opening).rejects.not.toThrow(/s3cret/);
  });

  it("is opened while its server is away, and says that it is", async () => {
    const { store, close } = await openStore("http://127.0.0.1:1");
    try {
      await writeFile(join(store.spoolDirectory, "part"), "x");
      await expect(store.check()).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    } finally {
      await close();
    }
  });
});
