import { randomBytes } from "node:crypto";
import { mkdtemp, open, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBundleFiles } from "../../../src/cli/bundle/bundle-files.ts";
import { readBundle } from "../../../src/cli/bundle/read-bundle.ts";
import { indexTar } from "../../../src/cli/bundle/tar-index.ts";
import { CliError } from "../../../src/cli/cli-error.ts";
import { EXIT, type ExitCode } from "../../../src/cli/exit-codes.ts";
import {
  blobName,
  type Layout,
  type LayoutOptions,
  makeLayout,
  sha256,
  writeLayout,
  writeTarOf,
} from "./make-layout.ts";

let root: string;
let made = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "bad-bundles-"));
});
afterAll(() => rm(root, { recursive: true }));

const fresh = () => join(root, String(made++));
const read = async (path: string) => readBundle(await openBundleFiles(path));

/** What reading a bundle says is wrong with it, without the folder of this test. */
async function complaint(path: string, exitCode: ExitCode = EXIT.failure): Promise<string> {
  const error: unknown = await read(path).then(
    () => new Error("it was read"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof CliError)) throw error;
  expect(error.exitCode).toBe(exitCode);
  return error.message.replaceAll(`${root}/`, "");
}

/** A good layout with a file put otherwise or, if undefined, away. */
function changed(name: string, bytes: string | undefined, layout: Layout = makeLayout()): Layout {
  if (bytes === undefined) layout.delete(name);
  else layout.set(name, Buffer.from(bytes));
  return layout;
}

const manifestOf = (layout: Layout) => [...layout.keys()].findLast((name) => name.startsWith("blobs/")) ?? "";
const asTar = (layout: Layout) => writeTarOf(`${fresh()}.tar`, layout);
const asFolder = (layout: Layout) => writeLayout(fresh(), layout);

describe("a bundle is read", () => {
  it("in any order of a tar, with ./ before the names, and the same as a folder", async () => {
    const layout = makeLayout();
    const reversed = [...layout].reverse().map(([name, bytes]) => [`./${name}`, bytes] as const);
    const versions = await read(await writeTarOf(`${fresh()}.tar`, reversed));
    expect(versions).toEqual(await read(await asFolder(layout)));
    expect(versions[0]?.files.map(({ path, size }) => [path, size])).toEqual([
      ["config.json", 2],
      ["model.gguf", 7],
    ]);
  });

  it("with names in extended headers, as other programs write them", async () => {
    const name = `blobs/sha256/${"ä".repeat(60)}`;
    const tar = await writeTarOf(`${fresh()}.tar`, [[name, Buffer.from("a note of somebody")], ...makeLayout()]);
    expect(await read(tar)).toHaveLength(1);
  });
});

describe("a tar of more than 8 GiB", () => {
  const SIZE = 10 * 2 ** 30;

  it.each(["binary", "pax"])("has its sizes in a %s header", async (kind) => {
    const archive = pack();
    if (kind === "binary") archive.entry({ name: "a", size: SIZE });
    else archive.entry({ name: "a", size: 0, pax: { size: String(SIZE) } });
    const chunks: Buffer[] = [];
    const length = kind === "binary" ? 512 : 3 * 512;
    for await (const chunk of archive as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      if (Buffer.concat(chunks).length >= length) break;
    }
    const tar = `${fresh()}.tar`;
    await writeFile(tar, Buffer.concat(chunks));
    // A hole reads as zeros: the file's bytes, and the end mark.
    await truncate(tar, length + SIZE + 1024);
    expect([...(await indexTar(tar))]).toEqual([["a", { file: tar, start: length, size: SIZE }]]);
    await rm(tar);
  });
});

describe("no bundle at all", () => {
  it("is a path where nothing is", async () => {
    expect(await complaint(join(root, "nothing"), EXIT.usage)).toBe("nothing: there is no such file or folder");
  });

  it("is a folder of something else", async () => {
    const folder = await writeLayout(fresh(), new Map([["a.txt", Buffer.from("a")]]));
    expect(await complaint(folder)).toMatch(/^\d+: is not a bundle: 'index.json' is missing$/);
  });

  it("is a file that is no tar, or a compressed one", async () => {
    const text = `${fresh()}.tar`;
    await writeFile(text, "hello");
    expect(await complaint(text)).toMatch(/is not a tar$/);
    await writeFile(text, gzipSync(randomBytes(2000)));
    expect(await complaint(text)).toMatch(/is not a tar, or a compressed one: give it uncompressed$/);
  });
});

describe("a tar", () => {
  it("that is cut short is told from one that is whole, wherever it is cut", async () => {
    const tar = await asTar(makeLayout());
    const { size } = await stat(tar);
    // Without its end mark, within a file, within a header, within the first file.
    for (const length of [size - 1024, size - 1024 - 500, size - 1024 - 700, 1024, 520]) {
      await truncate(tar, length);
      expect(await complaint(tar)).toMatch(/is cut short$/);
    }
  });

  it("with a damaged header is refused", async () => {
    const tar = await asTar(makeLayout());
    await using file = await open(tar, "r+");
    await file.write("x", 1024 + 5);
    expect(await complaint(tar)).toMatch(/is damaged$/);
  });

  it("must not hold links, the same name twice, or names that lead out", async () => {
    const tarWith = (name: string, bytes: Buffer | string) =>
      writeTarOf(`${fresh()}.tar`, [...makeLayout(), [name, bytes]]);
    expect(await complaint(await tarWith("blobs/sha256/a", "/etc/passwd"))).toMatch(
      /must hold plain files and folders alone: 'blobs\/sha256\/a' is a link or a device$/,
    );
    expect(await complaint(await tarWith("index.json", Buffer.from("{}")))).toMatch(/has 'index.json' twice$/);
    for (const name of ["../index.json", "blobs/../../a"]) {
      expect(await complaint(await tarWith(name, Buffer.from("{}")))).toMatch(
        new RegExp(`must have names inside of it alone: '${name}' leads out$`),
      );
    }
  });

  it("with an index of 1 GiB is refused before it is read", async () => {
    const tar = await asTar(new Map([["index.json", Buffer.from("{}")]]));
    await using file = await open(tar, "r+");
    const { buffer: header } = await file.read(Buffer.alloc(512), 0, 512, 0);
    header.write(`${(2 ** 30).toString(8).padStart(11, "0")} `, 124);
    header.fill(" ", 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    await file.write(header, 0, 512, 0);
    await file.truncate(2 ** 30 + 2048);
    expect(await complaint(tar)).toMatch(/'index.json' must be of at most 16777216 bytes, and has 1073741824$/);
  });
});

describe("an index", () => {
  it("must be JSON of the right shape", async () => {
    expect(await complaint(await asFolder(changed("index.json", "{")))).toBe("index.json: must be JSON");
    const empty = JSON.stringify({ schemaVersion: 2, manifests: [] });
    expect(await complaint(await asFolder(changed("index.json", empty)))).toMatch(/^index.json: manifests: /);
    const odd = JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: "a", digest: "sha256:../../a", size: 1 }],
    });
    expect(await complaint(await asFolder(changed("index.json", odd)))).toMatch(/^index.json: manifests.0.digest: /);
  });

  it("must name manifests that are there and are what their digest says", async () => {
    const layout = makeLayout();
    const manifest = manifestOf(layout);
    expect(await complaint(await asFolder(changed(manifest, undefined)))).toMatch(
      new RegExp(`is not all of a bundle: '${manifest}' is missing$`),
    );
    const other = `${layout.get(manifest)} `;
    expect(await complaint(await asFolder(changed(manifest, other)))).toMatch(/are not those of its digest$/);
  });

  it("must not name an index of images", async () => {
    const index = String(makeLayout().get("index.json")).replace("image.manifest", "image.index");
    expect(await complaint(await asFolder(changed("index.json", index)))).toMatch(
      /^it:1: the index must name manifests .*, not application\/vnd.oci.image.index/,
    );
  });

  it("is not read through a link", async () => {
    const folder = await asFolder(changed("index.json", undefined));
    await symlink("/etc/passwd", join(folder, "index.json"));
    expect(await complaint(folder)).toMatch(/must hold plain files and folders alone: 'index.json' is a link/);
  });
});

describe("a manifest", () => {
  const complaintOf = async (options: LayoutOptions) => complaint(await asFolder(makeLayout(options)));

  it("must have paths that stay inside, each once and none below another", async () => {
    expect(await complaintOf({ files: { "../a": "a" } })).toMatch(/^it:1: '..\/a': must be a relative path/);
    expect(await complaintOf({ files: { "/etc/passwd": "a" } })).toMatch(
      /^it:1: '\/etc\/passwd': must be a relative path/,
    );
    expect(await complaintOf({ files: { a: "a", "a/b": "b" } })).toMatch(
      /^it:1: paths: must not lie below another file: 'a'/,
    );
    expect(await complaintOf({ pathAnnotation: "other" })).toMatch(
      /must have a path \(annotation org.cncf.model.filepath\)$/,
    );
  });

  it("must not have layers that are archives", async () => {
    for (const layerType of [
      "application/vnd.cncf.model.weight.v1.tar",
      "application/vnd.oci.image.layer.v1.tar+gzip",
    ]) {
      expect(await complaintOf({ layerType })).toContain(`is an archive (${layerType})`);
    }
  });

  it("must have the files of the version that it says it is", async () => {
    const manifestDigest = `sha256:${sha256(Buffer.from("another"))}`;
    const annotations = { "modelmanager.v1.model_id": "tiny", "modelmanager.v1.manifest_digest": manifestDigest };
    expect(await complaintOf({ annotations })).toBe(
      `it:1: its files are not those of the version that it says it is (${manifestDigest})`,
    );
    const broken = { "modelmanager.v1.model_id": "tiny", "modelmanager.v1.labels": "{" };
    expect(await complaintOf({ annotations: broken })).toBe("the annotation modelmanager.v1.labels is malformed");
  });

  it("must come with its configuration", async () => {
    const config = blobName(Buffer.from("{}"));
    const layout = changed(config, undefined, makeLayout({ files: { "model.gguf": "weights" } }));
    expect(await complaint(await asFolder(layout))).toMatch(new RegExp(`'${config}' is missing$`));
  });
});
