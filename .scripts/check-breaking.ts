import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { projectRoot, runBuf } from "./print-protos-buf.ts";

/** Compares the contract with that of the last release, the highest `v*` tag: exits with 1 and buf's list of what breaks. */
const tag = await lastReleaseTag();
if (tag === undefined) {
  console.log("breaking changes: not checked, there is no release tag (v*) to compare with");
} else {
  const repository = await git("rev-parse", "--path-format=absolute", "--git-common-dir");
  try {
    await runBuf("breaking", "--against", `${repository}#format=git,tag=${tag}`);
    console.log(`breaking changes: none since ${tag}`);
  } catch (error) {
    console.error(`breaking changes since ${tag}:\n${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}

/** Releases before 1.0.0 count too; a pre-release (`v1.0.0-rc.1`) sorts before its release. */
async function lastReleaseTag(): Promise<string | undefined> {
  const tags = await git("-c", "versionsort.suffix=-", "tag", "--list", "v[0-9]*", "--sort=-version:refname");
  return tags.split("\n").find((tag) => tag !== "");
}

async function git(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("git", args, { cwd: projectRoot });
  return stdout.trim();
}
