import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Digest, hexOfDigest } from "../../src/domain/digest.ts";
import { createDiskStore } from "../../src/store/disk.ts";
import { mountTmpfs } from "../download/support/tmpfs.ts";
import { silent } from "../sources/helpers.ts";
import { describeBlobStore, digestOf, spool } from "./contract.ts";

const never = new AbortController().signal;

async function temporary(): Promise<string> {
  return mkdtemp(join(os.tmpdir(), "disk-store-"));
}

describeBlobStore("disk", async () => {
  const directory = await temporary();
  const store = await createDiskStore({ directory, log: silent });
  const plant = async (digest: Digest, bytes: Uint8Array) => {
    const hex = hexOfDigest(digest);
    const folder = join(directory, "blobs", "sha256", hex.slice(0, 2));
    await mkdir(folder, { recursive: true });
    // As a new file: what is damaged in its place keeps its identity but for the times.
    await rm(join(folder, hex), { force: true });
    await writeFile(join(folder, hex), bytes);
  };
  return { store, plant, close: () => rm(directory, { recursive: true }) };
});

describe("disk store", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await temporary();
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("lays blobs out by their digest, closed to strangers", async () => {
    const store = await createDiskStore({ directory: join(directory, "a", "store"), log: silent });
    const { digest, path } = await spool(store, randomBytes(10));
    await store.commit(digest, path);
    const hex = hexOfDigest(digest);
    const folder = join(directory, "a", "store", "blobs", "sha256", hex.slice(0, 2));
    expect(await readdir(folder)).toEqual([hex]);
    expect((await stat(folder)).mode & 0o007).toBe(0);
  });

  it("keeps its blobs when it is opened again", async () => {
    const first = await createDiskStore({ directory, log: silent });
    const { digest, path } = await spool(first, randomBytes(10));
    await first.commit(digest, path);
    const second = await createDiskStore({ directory, log: silent });
    expect(await second.stat(digest)).toEqual({ size: 10 });
  });

  it("is unavailable, rather than empty, when its folder is gone", async () => {
    const store = await createDiskStore({ directory, log: silent });
    const { digest, path } = await spool(store, randomBytes(10));
    await store.commit(digest, path);
    const away = `${directory}-away`;
    await rename(directory, away);
    try {
      const gone = { reason: "STORE_UNAVAILABLE" };
      await expect(store.stat(digest)).rejects.toMatchObject(gone);
      await expect(store.read(digest)).rejects.toMatchObject(gone);
      await expect(store.check()).rejects.toMatchObject(gone);
      await expect(store.space()).rejects.toMatchObject(gone);
      await expect(store.commit(digest, join(away, "parts", "x"))).rejects.toMatchObject(gone);
      // Nothing was made where the disk should be.
      await expect(stat(directory)).rejects.toThrow();
    } finally {
      await rename(away, directory);
    }
    await store.check();
    expect(await store.stat(digest)).toEqual({ size: 10 });
  });

  it("takes a folder under a blob's name for damage, and replaces it", async () => {
    const store = await createDiskStore({ directory, log: silent });
    const bytes = randomBytes(10);
    const { digest, path } = await spool(store, bytes);
    const hex = hexOfDigest(digest);
    const place = join(directory, "blobs", "sha256", hex.slice(0, 2), hex);
    await mkdir(join(place, "within"), { recursive: true });
    expect(await store.stat(digest)).toBeUndefined();
    await expect(store.read(digest)).rejects.toMatchObject({ reason: "BLOB_NOT_FOUND" });
    expect(await store.verify(digest, { signal: never })).toMatchObject({ found: "damaged" });
    await store.commit(digest, path);
    expect(await store.verify(digest, { signal: never })).toEqual({ found: "intact", size: 10 });
    expect(await readdir(join(directory, "quarantine"))).toHaveLength(1);
    await rm(place);
    await mkdir(join(place, "within"), { recursive: true });
    await store.remove(digest);
    expect(await readdir(join(place, ".."))).toEqual([]);
  });

  it("takes a disk that is not mounted for no loss of what is on it", async () => {
    const store = await createDiskStore({ directory, log: silent });
    const { digest, path } = await spool(store, randomBytes(10));
    await store.commit(digest, path);
    await rename(join(directory, "blobs"), join(directory, "away"));
    // As a start makes it below the mount point.
    await createDiskStore({ directory, log: silent });
    const gone = { reason: "STORE_UNAVAILABLE" };
    await expect(store.verify(digest, { signal: never })).rejects.toMatchObject(gone);
    await expect(store.quarantine(digest, { found: "missing" })).rejects.toMatchObject(gone);
    await rm(join(directory, "blobs"), { recursive: true });
    await expect(store.verify(digest, { signal: never })).rejects.toMatchObject(gone);
  });

  it("names no path of the server", async () => {
    await writeFile(join(directory, "blobs"), "not a folder");
    const opening = createDiskStore({ directory, log: silent });
    await expect(opening).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await expect(opening).rejects.toThrow(expect.objectContaining({ message: expect.not.stringContaining(directory) }));
  });

  it("can be reached while its disk is full, and says so when it is written to", async (context) => {
    await mkdir(directory, { recursive: true });
    // Few inodes: every folder takes one.
    const unmount = mountTmpfs(directory, "size=1m,nr_inodes=5");
    if (unmount === undefined) return context.skip("file systems cannot be mounted here");
    try {
      const store = await createDiskStore({ directory, log: silent });
      const path = join(store.spoolDirectory, "part");
      const bytes = randomBytes(512);
      await writeFile(path, bytes);
      await expect(store.commit(digestOf(bytes), path)).rejects.toMatchObject({ reason: "DISK_FULL" });
      await store.check();
    } finally {
      unmount();
    }
  });
});
