import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { projectRoot, runBuf } from "./print-protos-buf.ts";
import { printThirdPartyProtos } from "./print-protos-text.ts";

/** The folders below `proto/` that hold nothing but printed third-party files. */
const THIRD_PARTY = ["buf", "google", "grpc"];

/**
 * Generates everything anew, beside the committed files, and compares: exits with 1 and a list of the files that
 * differ, are missing or are left over; the committed files stay as they are.
 */
const stale = [...(await checkGeneratedCode()), ...(await checkThirdPartyProtos())];
if (stale.length === 0) {
  console.log("generated files are up to date");
} else {
  console.error(
    `not up to date; run \`npm run protos\` for proto/, \`npm run generate\` for gen/:\n${stale.join("\n")}`,
  );
  process.exitCode = 1;
}

async function checkGeneratedCode(): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "generated-"));
  try {
    await runBuf("generate", "--output", folder);
    return compare("gen", await readTree(join(projectRoot, "gen")), await readTree(join(folder, "gen")));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function checkThirdPartyProtos(): Promise<string[]> {
  const found = new Map<string, string>();
  for (const name of THIRD_PARTY) {
    for (const [path, text] of await readTree(join(projectRoot, "proto", name))) found.set(`${name}/${path}`, text);
  }
  return compare("proto", found, await printThirdPartyProtos());
}

function compare(folder: string, found: Map<string, string>, expected: Map<string, string>): string[] {
  const paths = [...new Set([...found.keys(), ...expected.keys()])].sort();
  return paths.flatMap((path) => {
    if (!found.has(path)) return [`  missing    ${folder}/${path}`];
    if (!expected.has(path)) return [`  left over  ${folder}/${path}`];
    return found.get(path) === expected.get(path) ? [] : [`  differs    ${folder}/${path}`];
  });
}

/** The text of every file below a folder by its path in it; nothing when there is no such folder. */
async function readTree(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(
        async (file) => [relative(folder, file).replaceAll(sep, "/"), await readFile(file, "utf8")] as [string, string],
      ),
    ),
  );
}
