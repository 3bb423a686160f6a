/**
 * Knows whether `dist` is the build of what is here: a stamp in it holds the digest of the name, size and time of every
 * file that a build reads.
 */
import { createHash } from "node:crypto";
import { existsSync, globSync, statSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** What a build reads; npm keeps the last of them up to date with what is installed. */
const INPUTS = [
  "{src,gen,proto}/**",
  ".scripts/{build,build-stamp}.ts",
  "{package,package-lock,tsconfig}.json",
  "node_modules/.package-lock.json",
];

/** The name of the stamp in `dist`. */
export const STAMP = ".build-stamp";

/** The digest of all that a build reads, as it is now. */
export function inputsDigest(root: string): string {
  const hash = createHash("sha256");
  for (const path of globSync(INPUTS, { cwd: root }).sort()) {
    const { size, mtimeMs } = statSync(join(root, path));
    hash.update(`${path}\0${size}\0${mtimeMs}\n`);
  }
  return hash.digest("hex");
}

/** Whether the last build in `dist` was complete and read the same. */
export async function isBuilt(dist: string, digest: string): Promise<boolean> {
  const stamp = join(dist, STAMP);
  return existsSync(stamp) && existsSync(join(dist, "main.js")) && (await readFile(stamp, "utf8")) === digest;
}

/** Notes that `dist` was built of what had this digest before. */
export async function stampBuild(dist: string, digest: string): Promise<void> {
  await writeFile(join(dist, STAMP), digest);
}
