import { randomFillSync } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { DirectFile } from "../../src/download/transfer/lane/direct-file.ts";
import { Slabs } from "../../src/download/transfer/lane/slabs.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "model-manager-direct-"));
});
afterAll(() => rm(folder, { recursive: true }));

const bytes = new Slabs(1).bytes(0, 0, 16_384);
randomFillSync(bytes);

it("takes whole pages and leaves the rest to whoever writes in the common way", async () => {
  const path = join(folder, "file");
  await writeFile(path, "");
  const file = new DirectFile(path);
  // Nothing at all where the file system cannot.
  const taken = await file.write(bytes, 4096, 4096 + 5000, 8192);
  expect([0, 4096]).toContain(taken);
  expect(await file.write(bytes, 10, 8202, 0)).toBe(0);
  expect(await file.write(bytes, 0, 4096, 100)).toBe(0);
  expect(await file.write(bytes, 0, 4095, 0)).toBe(0);
  file.close();
  const written = await readFile(path);
  expect(written.subarray(8192).equals(bytes.subarray(4096, 4096 + taken))).toBe(true);
  expect(await file.write(bytes, 0, 4096, 0)).toBe(0);
});

it("writes nothing where there is no file", async () => {
  const file = new DirectFile(join(folder, "missing"));
  expect(await file.write(bytes, 0, 4096, 0)).toBe(0);
  file.close();
});
