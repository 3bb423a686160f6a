import { execFileSync } from "node:child_process";
import { appendFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Sources } from "../../src/domain/ports/sources.ts";
import { bytes, bytesOf, failure, open, originOf, request, testSources } from "./helpers.ts";

const WEIGHTS = bytes(3_000_000);

let top: string;
let root: string;
let sources: Sources;

beforeEach(async () => {
  top = await mkdtemp(join(os.tmpdir(), "model-manager-local-"));
  root = join(top, "root");
  await mkdir(join(root, "model", "sub"), { recursive: true });
  await writeFile(join(root, "model", "model.safetensors"), WEIGHTS);
  await writeFile(join(root, "model", "sub", "config.json"), "{}");
  await mkdir(join(top, "secret"));
  await writeFile(join(top, "secret", "key"), "secret");
  sources = testSources({ localRoots: [join(top, "other"), root] });
});

afterEach(async () => {
  await sources.close();
  await rm(top, { recursive: true });
});

const local = (...parts: string[]) => ({ kind: "local" as const, path: join(root, ...parts) });
const pathsOf = async (...parts: string[]) =>
  (await sources.resolve(local(...parts), request())).files.map(({ path }) => path).sort();

describe("resolving", () => {
  it("lists a folder with all folders in it", async () => {
    const resolved = await sources.resolve(local("model"), request());
    expect(resolved).toMatchObject({ revision: "", license: "" });
    const files = [...resolved.files].sort((a, b) => (a.path < b.path ? -1 : 1));
    expect(files).toMatchObject([
      { path: "model.safetensors", size: 3_000_000, origins: [{ host: "local" }] },
      { path: "sub/config.json", size: 2 },
    ]);
  });

  it("takes one file by itself, and what patterns want", async () => {
    expect(await pathsOf("model", "model.safetensors")).toEqual(["model.safetensors"]);
    const { files } = await sources.resolve(local("model"), request({ allowPatterns: ["sub/"] }));
    expect(files.map(({ path }) => path)).toEqual(["sub/config.json"]);
    await failure(sources.resolve(local("model"), request({ allowPatterns: ["*.gguf"] })), "SOURCE_FILE_NOT_FOUND");
  });

  it("leaves out what git and downloads keep beside the files, and no other hidden ones", async () => {
    for (const folder of [".git", ".cache", "sub/.cache", ".hidden"]) {
      await mkdir(join(root, "model", folder), { recursive: true });
      await writeFile(join(root, "model", folder, "x"), "x");
    }
    await writeFile(join(root, "model", ".gitattributes"), "x");
    expect(await pathsOf("model")).toEqual([".gitattributes", ".hidden/x", "model.safetensors", "sub/config.json"]);
  });

  it("names bytes anew when the file is written", async () => {
    const identity = async () =>
      (await sources.resolve(local("model", "model.safetensors"), request())).files[0]?.identity;
    const first = await identity();
    expect(await identity()).toBe(first);
    await appendFile(join(root, "model", "model.safetensors"), "x");
    expect(await identity()).not.toBe(first);
  });

  it("says what is missing below a root, an empty folder, and a revision that makes no sense", async () => {
    const error = await failure(sources.resolve(local("none"), request()), "SOURCE_NOT_FOUND");
    expect(error.message).toContain(join(root, "none"));
    await failure(sources.resolve(local("model", "model.safetensors", "x"), request()), "SOURCE_NOT_FOUND");
    await mkdir(join(root, "empty"));
    await failure(sources.resolve(local("empty"), request()), "SOURCE_FILE_NOT_FOUND");
    await failure(sources.resolve(local("model"), request({ revision: "main" })), "FIELD_INVALID");
  });

  it("refuses paths that no version can have", async () => {
    await writeFile(join(root, "model", "a:b"), "x");
    await failure(sources.resolve(local("model"), request()), "FIELD_INVALID");
  });
});

describe("roots", () => {
  const refused = async (path: string, by = sources) =>
    (await failure(by.resolve({ kind: "local", path }, request()), "PATH_NOT_ALLOWED")).message;

  it("are all that can be read", async () => {
    for (const path of [join(top, "secret"), top, "/", "/etc/passwd", `${root}x`, join(root, "..", "secret", "key")]) {
      expect(await refused(path)).toContain("MODEL_MANAGER_LOCAL_ROOTS");
    }
    expect(await refused(`${root}/../secret/key`)).toContain("MODEL_MANAGER_LOCAL_ROOTS");
    expect(await refused("relative")).toContain("'relative'");
  });

  it("tell nothing of what is there outside of them", async () => {
    const message = (path: string) => refused(path).then((text) => text.replace(path, ""));
    expect(await message(join(top, "secret", "none"))).toBe(await message(join(top, "secret", "key")));
    await symlink(join(top, "secret"), join(root, "link"));
    expect(await message(join(root, "link", "none"))).toBe(await message(join(root, "link", "key")));
  });

  it("are none by default", async () => {
    const none = testSources({ localRoots: [] });
    expect(await refused(root, none)).toContain("MODEL_MANAGER_LOCAL_ROOTS");
    await none.close();
  });

  it("may be links themselves, and be named by either name", async () => {
    await symlink(root, join(top, "alias"));
    const aliased = testSources({ localRoots: [join(top, "alias")] });
    for (const path of [join(top, "alias", "model"), join(root, "model")]) {
      expect((await aliased.resolve({ kind: "local", path }, request())).files).toHaveLength(2);
    }
    await aliased.close();
  });
});

describe("links", () => {
  it("to files below the same root are followed, as in the layout of a cache", async () => {
    await mkdir(join(root, "cache", "blobs"), { recursive: true });
    await mkdir(join(root, "cache", "snapshots", "abc"), { recursive: true });
    await writeFile(join(root, "cache", "blobs", "1234"), WEIGHTS);
    await symlink("../../blobs/1234", join(root, "cache", "snapshots", "abc", "model.bin"));
    const origin = await originOf(sources, local("cache", "snapshots", "abc"));
    expect((await bytesOf(open(origin))).equals(WEIGHTS)).toBe(true);
  });

  it("out of the root are refused, to a file and to a folder, as the source itself too", async () => {
    for (const [name, target] of [
      ["file", join(top, "secret", "key")],
      ["folder", join(top, "secret")],
    ] as const) {
      await symlink(target, join(root, "model", name));
      const error = await failure(sources.resolve(local("model"), request()), "PATH_NOT_ALLOWED");
      expect(error.message).not.toContain("secret");
      await failure(sources.resolve(local("model", name), request()), "PATH_NOT_ALLOWED");
      await rm(join(root, "model", name));
    }
  });

  it("to folders, to nowhere and in a circle are refused", async () => {
    await symlink("..", join(root, "model", "up"));
    await failure(sources.resolve(local("model"), request()), "PATH_NOT_ALLOWED");
    await rm(join(root, "model", "up"));
    await symlink("nowhere", join(root, "model", "dangling"));
    await failure(sources.resolve(local("model"), request()), "SOURCE_NOT_FOUND");
    await rm(join(root, "model", "dangling"));
    await symlink("circle", join(root, "model", "circle"));
    await failure(sources.resolve(local("model"), request()), "SOURCE_NOT_FOUND");
  });

  it("that come after the listing lead nowhere", async () => {
    const byFile = await originOf(sources, local("model", "model.safetensors"));
    await rm(join(root, "model", "model.safetensors"));
    await symlink(join(top, "secret", "key"), join(root, "model", "model.safetensors"));
    await failure(open(byFile), "SOURCE_NOT_FOUND");

    const byFolder = await originOf(sources, local("model", "sub"));
    await writeFile(join(top, "secret", "config.json"), "secret");
    await rename(join(root, "model", "sub"), join(root, "model", "moved"));
    await symlink(join(top, "secret"), join(root, "model", "sub"));
    await failure(open(byFolder), "PATH_NOT_ALLOWED");
  });
});

it("refuses what is neither a file nor a folder, without waiting for it", async () => {
  execFileSync("mkfifo", [join(root, "model", "pipe")]);
  await failure(sources.resolve(local("model"), request()), "PATH_NOT_ALLOWED");
  await failure(sources.resolve(local("model", "pipe"), request()), "PATH_NOT_ALLOWED");
  await rm(join(root, "model", "pipe"));
  const origin = await originOf(sources, local("model", "model.safetensors"));
  await rm(join(root, "model", "model.safetensors"));
  execFileSync("mkfifo", [join(root, "model", "model.safetensors")]);
  await failure(open(origin), "PATH_NOT_ALLOWED");
});

describe("reading", () => {
  it("starts over in a file that changed, and beyond its end", async () => {
    const origin = await originOf(sources, local("model", "model.safetensors"));
    const { validator } = await open(origin);
    expect(await open(origin, 3_000_001, validator)).toMatchObject({ offset: 0 });
    await appendFile(join(root, "model", "model.safetensors"), "x");
    expect(await open(origin, 1000, validator)).toMatchObject({ offset: 0, size: 3_000_001 });
  });

  it("finds that a file changes while it is read", async () => {
    const { body } = await open(await originOf(sources, local("model", "model.safetensors")));
    const reading = (async () => {
      for await (const _ of body) await appendFile(join(root, "model", "model.safetensors"), "x");
    })();
    expect((await failure(reading, "SOURCE_UNAVAILABLE")).message).toBe(
      "'model.safetensors' changed while it was read",
    );
  });

  it("says that a file has gone", async () => {
    const origin = await originOf(sources, local("model", "model.safetensors"));
    await rm(join(root, "model", "model.safetensors"));
    const error = await failure(open(origin), "SOURCE_NOT_FOUND");
    expect(error.message).not.toContain(root);
  });
});
