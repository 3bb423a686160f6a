import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Digest } from "../../src/domain/digest.ts";
import { DomainError } from "../../src/domain/errors.ts";
import type { BlobStore } from "../../src/domain/ports/blob-store.ts";
import { createDiskStore } from "../../src/store/disk.ts";
import { BlobUploads, type UploadTools } from "../../src/uploads/blob-uploads.ts";
import { PartFiles } from "../../src/uploads/part-files.ts";
import { Parts } from "../../src/uploads/parts.ts";
import { manualClock } from "../download/support/manual-clock.ts";
import { newModel, openRegistry, quiet, type TestRegistry } from "../registry/open-registry.ts";
import { digestOf } from "./http.ts";

let registry: TestRegistry;
let store: BlobStore;
let directory: string;
const opened: Parts[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "model-manager-uploads-"));
  [registry, store] = await Promise.all([openRegistry(), createDiskStore({ directory, log: quiet })]);
});

afterAll(async () => {
  await Promise.all(opened.map((parts) => parts.close()));
  await registry?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const clock = manualClock();
const room = { async reserve() {}, spend() {}, free() {} };

/** The uploads of a process of its own on the same store. */
function open(rest: Partial<UploadTools> = {}) {
  const parts = new Parts(new PartFiles(store.spoolDirectory, randomUUID(), false));
  opened.push(parts);
  const { admissions } = registry;
  return { parts, uploads: new BlobUploads({ store, admissions, room, parts, clock, ...rest }) };
}

function blob(size: number) {
  const bytes = randomBytes(size);
  return { bytes, digest: digestOf(bytes) as Digest };
}

async function* oneChunk(bytes: Buffer) {
  yield bytes;
}

function body(bytes: Buffer) {
  return { field: "body", chunks: oneChunk(bytes) };
}

async function partFiles(): Promise<string[]> {
  return await readdir(join(store.spoolDirectory, "uploads")).catch(() => []);
}

async function reasonOf(work: Promise<unknown>) {
  const error = await work.then(
    () => undefined,
    (raised: unknown) => raised,
  );
  return error instanceof DomainError ? error.reason : error;
}

it("goes on with what another process left, and leaves that one's file alone until the blob is there", async () => {
  const { bytes, digest } = blob(3_000_000);
  const total = bytes.length;
  const first = open();
  await first.uploads.receive(
    digest,
    { goesOn: true, start: 0, end: 2_000_000, total },
    body(bytes.subarray(0, 2_000_000)),
  );
  const second = open();
  expect(await second.uploads.resume(digest, total)).toEqual({ size: 2_000_000, isComplete: false });
  const rest = { goesOn: true, start: 2_000_000, end: 2_500_000, total };
  await second.uploads.receive(digest, rest, body(bytes.subarray(2_000_000, 2_500_000)));
  expect(await partFiles()).toHaveLength(2);
  expect(await first.uploads.resume(digest, total)).toEqual({ size: 2_000_000, isComplete: false });
  const last = { goesOn: true, start: 2_500_000, end: total, total };
  expect(await second.uploads.receive(digest, last, body(bytes.subarray(2_500_000)))).toEqual({
    size: total,
    isComplete: true,
  });
  expect(await partFiles()).toEqual([]);
  expect(await second.uploads.find(digest)).toBe(total);
});

it("lets a new client in when the one before has gone silent, and finishes what was whole already", async () => {
  const { bytes, digest } = blob(200_000);
  const { uploads } = open();
  const chunks = new PassThrough();
  let isCut = false;
  const cut = () => {
    isCut = true;
    chunks.destroy(new Error("cut"));
  };
  const piece = { goesOn: true, start: 0, end: 200_000, total: 200_000 };
  const begun = Promise.withResolvers<void>();
  const silent = uploads.receive(digest, piece, { field: "body", chunks, cut, begin: begun.resolve });
  const settled = reasonOf(silent);
  await begun.promise;
  expect(await reasonOf(uploads.receive(digest, piece, body(bytes)))).toBe("OPERATION_CONFLICT");
  await clock.pass(6_000);
  expect(await uploads.receive(digest, piece, body(bytes))).toMatchObject({ isComplete: true });
  expect(isCut).toBe(true);
  expect(await settled).toMatchObject({ message: "cut" });
});

it("admits later what could not be admitted when it was whole", async () => {
  const { bytes, digest } = blob(100_000);
  let isDown = true;
  const admissions: UploadTools["admissions"] = {
    renew: registry.admissions.renew,
    async admit(...args) {
      if (isDown) throw new DomainError("DATABASE_UNAVAILABLE", "the database does not answer");
      await registry.admissions.admit(...args);
    },
  };
  const { uploads } = open({ admissions });
  const whole = { goesOn: false, start: 0, total: bytes.length };
  expect(await reasonOf(uploads.receive(digest, whole, body(bytes)))).toBe("DATABASE_UNAVAILABLE");
  expect(await uploads.find(digest)).toBeUndefined();
  isDown = false;
  expect(await uploads.resume(digest, bytes.length)).toEqual({ size: bytes.length, isComplete: true });
  expect(await uploads.find(digest)).toBe(bytes.length);
});

it("refuses what the disk or the quota has no room for, before a byte comes", async () => {
  const { bytes, digest } = blob(1_000);
  const full = async () => {
    throw new DomainError("DISK_FULL", "the store's disk is too full");
  };
  const piece = { goesOn: false, start: 0, total: bytes.length };
  const before = await partFiles();
  expect(await reasonOf(open({ room: { ...room, reserve: full } }).uploads.receive(digest, piece, body(bytes)))).toBe(
    "DISK_FULL",
  );
  const asked: number[] = [];
  const quota = {
    async claim() {},
    async makeRoom(wanted: number) {
      asked.push(wanted);
      throw new DomainError("QUOTA_EXCEEDED", "the store's quota is too small");
    },
  };
  expect(await reasonOf(open({ quota }).uploads.receive(digest, piece, body(bytes)))).toBe("QUOTA_EXCEEDED");
  expect(asked).toEqual([1_000]);
  expect(await partFiles()).toEqual(before);
});

it("takes away what nobody has gone on with, and nothing else", async () => {
  const [old, fresh] = [blob(1_000), blob(1_000)];
  const writer = open();
  for (const { bytes, digest } of [old, fresh]) {
    const piece = { goesOn: true, start: 0, end: 500, total: 1_000 };
    await writer.uploads.receive(digest, piece, body(bytes.subarray(0, 500)));
  }
  const name = (await partFiles()).find((file) => old.digest.endsWith(file.slice(0, 64)));
  await utimes(join(store.spoolDirectory, "uploads", `${name}`), new Date(0), new Date(0));
  await writer.parts.sweep(Date.now() - 1_000);
  expect(await writer.uploads.resume(old.digest, 1_000)).toMatchObject({ size: 500 });
  await writer.parts.close();
  await open().parts.sweep(Date.now() - 60_000);
  expect(await open().uploads.resume(old.digest, 1_000)).toMatchObject({ size: 0 });
  expect(await open().uploads.resume(fresh.digest, 1_000)).toMatchObject({ size: 500 });
});

it("brings lost bytes back to the versions that name them", async () => {
  const { bytes, digest } = blob(10_000);
  const { uploads } = open();
  const whole = { goesOn: false, start: 0, total: bytes.length };
  await uploads.receive(digest, whole, body(bytes));
  await registry.models.create(newModel("healed"), {});
  await registry.models.createVersion("healed", {
    files: [{ path: "a", size: bytes.length, digest }],
    resolvedRevision: "",
    license: "",
    labels: {},
    metadata: {},
  });
  await registry.damage.declareLost(digest, async () => {
    await store.remove(digest);
    return true;
  });
  expect((await registry.models.getVersion({ modelId: "healed" })).damagedFiles).toEqual(["a"]);
  expect(await uploads.find(digest)).toBeUndefined();
  await uploads.receive(digest, whole, body(bytes));
  expect((await registry.models.getVersion({ modelId: "healed" })).damagedFiles).toEqual([]);
  const read = await store.read(digest);
  const [chunk] = await once(read, "data");
  expect(chunk.equals(bytes)).toBe(true);
  read.destroy();
});
