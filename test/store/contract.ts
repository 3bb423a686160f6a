import { createHash, randomBytes } from "node:crypto";
import { access, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Digest, digestOfHex } from "../../src/domain/digest.ts";
import type { BlobStore } from "../../src/domain/ports/blob-store.ts";

const never = new AbortController().signal;

/** A store of its own for one test. */
export interface StoreUnderTest {
  readonly store: BlobStore;
  /** Puts bytes under a blob's name behind the store's back. */
  plant(digest: Digest, bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** The digest of bytes. */
export function digestOf(bytes: Uint8Array): Digest {
  return digestOfHex(createHash("sha256").update(bytes).digest("hex"));
}

/** Writes bytes into a store's spool folder, as somebody who has verified them does. */
export async function spool(store: BlobStore, bytes: Uint8Array): Promise<{ digest: Digest; path: string }> {
  const path = join(store.spoolDirectory, `spooled-${randomBytes(6).toString("hex")}`);
  await writeFile(path, bytes, { flush: true });
  return { digest: digestOf(bytes), path };
}

/** What every {@link BlobStore} does. */
export function describeBlobStore(name: string, factory: () => Promise<StoreUnderTest>): void {
  describe(`blob store: ${name}`, () => {
    let under: StoreUnderTest;
    let store: BlobStore;

    beforeEach(async () => {
      under = await factory();
      ({ store } = under);
    });
    afterEach(() => under.close());

    async function put(bytes: Uint8Array): Promise<Digest> {
      const { digest, path } = await spool(store, bytes);
      await store.commit(digest, path);
      return digest;
    }

    it("keeps what is committed and takes the file away", async () => {
      const bytes = randomBytes(300_000);
      const { digest, path } = await spool(store, bytes);
      expect(await store.stat(digest)).toBeUndefined();
      await store.commit(digest, path);
      expect(await store.stat(digest)).toEqual({ size: bytes.length });
      expect((await buffer(await store.read(digest))).equals(bytes)).toBe(true);
      await expect(access(path)).rejects.toThrow();
    });

    it("keeps a blob of no bytes", async () => {
      const digest = await put(new Uint8Array());
      expect(await store.stat(digest)).toEqual({ size: 0 });
      expect(await buffer(await store.read(digest))).toHaveLength(0);
    });

    it("takes the same blob again, with and without its file", async () => {
      const bytes = randomBytes(1000);
      const digest = await put(bytes);
      const again = await spool(store, bytes);
      await store.commit(digest, again.path);
      await expect(access(again.path)).rejects.toThrow();
      // As after an answer that was lost.
      await store.commit(digest, again.path);
      expect((await buffer(await store.read(digest))).equals(bytes)).toBe(true);
    });

    it("takes the same blob from several at once", async () => {
      const bytes = randomBytes(1000);
      const spooled = await Promise.all(Array.from({ length: 8 }, () => spool(store, bytes)));
      await Promise.all(spooled.map(({ digest, path }) => store.commit(digest, path)));
      expect((await buffer(await store.read(digestOf(bytes)))).equals(bytes)).toBe(true);
    });

    it.each([
      ["the beginning", 0, 10],
      ["the middle", 70_000, 200_001],
      ["one byte", 5, 6],
      ["nothing", 5, 5],
      ["the end", 299_990, 300_000],
    ])("reads %s", async (_what, start, end) => {
      const bytes = randomBytes(300_000);
      const digest = await put(bytes);
      const read = await buffer(await store.read(digest, { start, end }));
      expect(read.equals(bytes.subarray(start, end))).toBe(true);
    });

    it("says that it does not have a blob", async () => {
      const digest = digestOf(randomBytes(8));
      expect(await store.stat(digest)).toBeUndefined();
      await expect(store.read(digest)).rejects.toMatchObject({ reason: "BLOB_NOT_FOUND" });
    });

    it("takes blobs away", async () => {
      const digest = await put(randomBytes(8));
      await store.remove(digest);
      expect(await store.stat(digest)).toBeUndefined();
      await store.remove(digest);
    });

    it("goes on reading a blob that is taken away", async () => {
      const bytes = randomBytes(3_000_000);
      const digest = await put(bytes);
      const reading = await store.read(digest);
      await store.remove(digest);
      expect((await buffer(reading)).equals(bytes)).toBe(true);
    });

    it("replaces what lies under a blob's name", async () => {
      const bytes = randomBytes(1000);
      const digest = digestOf(bytes);
      await under.plant(digest, randomBytes(10));
      expect(await store.verify(digest, { signal: never })).toMatchObject({ found: "damaged" });
      await put(bytes);
      expect(await store.verify(digest, { signal: never })).toEqual({ found: "intact", size: 1000 });
      expect((await buffer(await store.read(digest))).equals(bytes)).toBe(true);
    });

    it("reads blobs again, piece by piece", async () => {
      const bytes = randomBytes(9_000_000);
      const digest = await put(bytes);
      const pieces: number[] = [];
      const check = await store.verify(digest, {
        signal: never,
        async onRead(piece) {
          pieces.push(piece);
        },
      });
      expect(check).toEqual({ found: "intact", size: bytes.length });
      expect(pieces.length).toBeGreaterThan(1);
      expect(pieces.reduce((sum, piece) => sum + piece, 0)).toBe(bytes.length);
      expect(await store.verify(digestOf(randomBytes(8)), { signal: never })).toEqual({ found: "missing" });
    });

    it("verifies a blob of no bytes, and many at once", async () => {
      const digests = await Promise.all([0, 1, 1 << 20, (1 << 23) + 1].map((size) => put(randomBytes(size))));
      const checks = await Promise.all(digests.map((digest) => store.verify(digest, { signal: never })));
      expect(checks.map(({ found }) => found)).toEqual(["intact", "intact", "intact", "intact"]);
    });

    it("stops verifying when it is told to", async () => {
      const digest = await put(randomBytes(9_000_000));
      const stop = new AbortController();
      const reason = new Error("enough");
      let pieces = 0;
      const verifying = store.verify(digest, {
        signal: stop.signal,
        onRead() {
          pieces += 1;
          stop.abort(reason);
        },
      });
      await expect(verifying).rejects.toBe(reason);
      expect(pieces).toBe(1);
    });

    it("puts aside what it found damaged, and no more than that", async () => {
      const bytes = randomBytes(1000);
      const digest = digestOf(bytes);
      await under.plant(digest, randomBytes(1000));
      const damaged = await store.verify(digest, { signal: never });
      await put(bytes);
      // Somebody placed the right bytes meanwhile.
      expect(await store.quarantine(digest, damaged)).toBe(false);
      expect(await store.quarantine(digest, { found: "missing" })).toBe(false);
      expect(await store.quarantine(digest, { found: "intact", size: 1000 })).toBe(false);
      expect(await store.stat(digest)).toEqual({ size: 1000 });

      await under.plant(digest, randomBytes(1000));
      expect(await store.quarantine(digest, await store.verify(digest, { signal: never }))).toBe(true);
      expect(await store.stat(digest)).toBeUndefined();
      expect(await store.quarantine(digest, { found: "missing" })).toBe(true);
      expect(await store.emptyQuarantine(60_000, false)).toBe(0);
      expect(await store.emptyQuarantine(0, true)).toBe(1000);
      expect(await store.emptyQuarantine(0, false)).toBe(1000);
      expect(await store.emptyQuarantine(0, false)).toBe(0);
    });

    it("does not commit a file that is not there", async () => {
      const digest = digestOf(randomBytes(8));
      await expect(store.commit(digest, join(store.spoolDirectory, "nothing"))).rejects.toMatchObject({
        reason: "STORE_UNAVAILABLE",
      });
      expect(await store.stat(digest)).toBeUndefined();
    });

    it("can be reached, and says how much room it has as far as it knows", async () => {
      await store.check();
      const { capacityBytes, freeBytes } = await store.space();
      if (capacityBytes !== undefined) expect(capacityBytes).toBeGreaterThan(0);
      if (freeBytes !== undefined) expect(freeBytes).toBeGreaterThan(0);
    });
  });
}
