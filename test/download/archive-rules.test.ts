import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ArchiveFormat } from "../../src/domain/ports/sources.ts";
import { EntryRules, MOST_ENTRIES } from "../../src/download/unpack/entry-rules.ts";
import { readArchive } from "../../src/download/unpack/read-archive.ts";
import { bytes } from "../sources/helpers.ts";
import { type TarEntry, tar } from "../support/tar.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(os.tmpdir(), "archives-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** The paths and sizes of an archive's files, as they would go into a version. */
async function unpacked(content: Uint8Array, format: ArchiveFormat = "tar"): Promise<[string, number][]> {
  const path = join(folder, "archive");
  await writeFile(path, content);
  const rules = new EntryRules("layer 'x'");
  const files: [string, number][] = [];
  for await (const { entry, content: chunks } of readArchive({ path, size: content.length, format })) {
    const file = rules.pathOf(entry);
    if (file === undefined) continue;
    let size = 0;
    for await (const chunk of chunks) size += chunk.length;
    files.push([file, size]);
  }
  rules.assertDistinct();
  return files;
}

it("takes files, folders and long names", async () => {
  const long = `long/${"x".repeat(200)}`;
  const archive = await tar(
    { name: "./", type: "directory" },
    { name: "./a", content: bytes(700_000) },
    { name: "d/", type: "directory" },
    { name: long, content: bytes(3) },
    { name: "empty" },
    { name: "été/模型", content: bytes(1) },
  );
  const files = [
    ["a", 700_000],
    [long, 3],
    ["empty", 0],
    ["été/模型", 1],
  ];
  expect(await unpacked(archive)).toEqual(files);
  expect(await unpacked(gzipSync(archive), "tar+gzip")).toEqual(files);
  expect(await unpacked(zstdCompressSync(archive), "tar+zstd")).toEqual(files);
  expect(await unpacked(await tar())).toEqual([]);
});

it.each<[string, TarEntry[], RegExp]>([
  ["a path out of its folder", [{ name: "../evil" }], /'\.\.\/evil'.*must be a relative path/],
  ["a path out in the middle", [{ name: "a/../../evil" }], /'a\/\.\.\/\.\.\/evil'/],
  ["a path that only tar's extended header has", [{ name: "x", pax: { path: "../evil" } }], /'\.\.\/evil'/],
  ["an absolute path", [{ name: "/etc/passwd" }], /'\/etc\/passwd'/],
  ["an absolute folder", [{ name: "/etc/", type: "directory" }], /'\/etc\/'/],
  ["a folder out of its folder", [{ name: "../", type: "directory" }], /'\.\.\/'/],
  ["a backslash", [{ name: "a\\b" }], /must be a relative path/],
  [
    "a symbolic link",
    [{ name: "ok" }, { name: "l", type: "symlink", linkname: "/etc/passwd" }],
    /'l'.*a symbolic link/,
  ],
  ["a hard link", [{ name: "l", type: "link", linkname: "../../x" }], /'l'.*a hard link/],
  ["a character device", [{ name: "null", type: "character-device" }], /'null'.*a character device/],
  ["a block device", [{ name: "sda", type: "block-device" }], /'sda'.*a block device/],
  ["a named pipe", [{ name: "pipe", type: "fifo" }], /'pipe'.*a named pipe/],
  ["a file with holes", [{ name: "s", pax: { "GNU.sparse.major": "1" }, content: bytes(9) }], /'s'.*a file with holes/],
  ["a file twice", [{ name: "a" }, { name: "./a" }], /'\.\/a'.*it is there twice/],
  ["a file that is a folder", [{ name: "a" }, { name: "a/b" }], /must not lie below another file/],
])("refuses %s", async (_, entries, message) => {
  await expect(unpacked(await tar(...entries))).rejects.toThrow(message);
});

it("refuses a kind of entry that nobody knows", async () => {
  const archive = await tar({ name: "a" });
  archive[156] = "S".charCodeAt(0);
  const sum = archive.subarray(0, 512).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  await expect(unpacked(archive)).rejects.toThrow(/'a'.*of an unknown kind/);
});

it("refuses too many entries", () => {
  const rules = new EntryRules("layer 'x'");
  const add = (index: number) => rules.pathOf({ name: `f${index}`, type: "file", size: 0 });
  for (let index = 0; index < MOST_ENTRIES; index += 1) add(index);
  expect(() => add(MOST_ENTRIES)).toThrow(/layer 'x': must have at most 100000 entries/);
});

it.each<[string, () => Promise<Uint8Array>, ArchiveFormat, RegExp]>([
  [
    "cut in a file",
    async () => (await tar({ name: "a", content: bytes(5000) })).subarray(0, 2048),
    "tar",
    /must be whole/,
  ],
  [
    "without its end",
    async () => (await tar({ name: "a", content: bytes(512) })).subarray(0, 1024),
    "tar",
    /must be whole/,
  ],
  [
    "cut while packed",
    async () => gzipSync(await tar({ name: "a", content: bytes(90_000) })).subarray(0, 400),
    "tar+gzip",
    /must be whole/,
  ],
  [
    "cut while packed otherwise",
    async () => zstdCompressSync(await tar({ name: "a" })).subarray(0, 30),
    "tar+zstd",
    /must be whole/,
  ],
  ["packed otherwise", async () => gzipSync(await tar({ name: "a" })), "tar+zstd", /of the kind that it is said to be/],
  ["that is none", async () => bytes(4096), "tar", /of the kind that it is said to be/],
  ["that is empty", async () => bytes(0), "tar", /must be whole/],
  [
    "that is a bomb",
    async () => gzipSync(await tar({ name: "a", content: Buffer.alloc(80 << 20) })),
    "tar+gzip",
    /more than 200 times/,
  ],
  ["of zeros alone", async () => gzipSync(Buffer.alloc(40 << 20)), "tar+gzip", /files more than of headers/],
])("refuses an archive %s", async (_, content, format, message) => {
  await expect(unpacked(await content(), format)).rejects.toThrow(message);
});
