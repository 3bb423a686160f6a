import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { inputsDigest, isBuilt, STAMP, stampBuild } from "../../.scripts/build-stamp.ts";

let root: string;
let dist: string;

beforeEach(async () => {
  root = await mkdtemp(join(os.tmpdir(), "model-manager-build-"));
  dist = join(root, "dist");
  for (const folder of ["src/cli", "proto/a", "dist"]) await mkdir(join(root, folder), { recursive: true });
  for (const file of ["src/main.ts", "src/cli/run.ts", "proto/a/a.proto", "package.json", "dist/main.js"]) {
    await writeFile(join(root, file), file);
  }
});

afterEach(() => rm(root, { recursive: true }));

const current = () => isBuilt(dist, inputsDigest(root));

it("takes a build for current until something that it read changes", async () => {
  expect(await current()).toBe(false);
  await stampBuild(dist, inputsDigest(root));
  expect(await current()).toBe(true);
  await writeFile(join(root, "README.md"), "nothing that is built");
  expect(await current()).toBe(true);
});

it.each<[string, () => Promise<void>]>([
  ["a changed file", () => writeFile(join(root, "src/cli/run.ts"), "other content")],
  ["a changed contract", () => writeFile(join(root, "proto/a/a.proto"), "other content")],
  ["other packages", () => writeFile(join(root, "package.json"), "{}")],
  ["a file that is older than the build, as of another checkout", () => utimes(join(root, "src/main.ts"), 1, 1)],
  ["a new file", () => writeFile(join(root, "src/new.ts"), "")],
  ["a file that is gone", () => rm(join(root, "src/cli/run.ts"))],
  ["a program that is gone", () => rm(join(dist, "main.js"))],
  ["a build that was broken off", () => rm(join(dist, STAMP))],
])("builds again after %s", async (_what, change) => {
  await stampBuild(dist, inputsDigest(root));
  await change();
  expect(await current()).toBe(false);
});
