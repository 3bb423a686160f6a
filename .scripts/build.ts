/**
 * Builds `dist`: the program (`main.js` with its chunks and workers, everything bundled in, so that a start reads few
 * files), the client package (`client.js`, its libraries left to whoever imports it) and the client's types.
 *
 * `--no-types` leaves the types as they are: `npm start` does not wait for them. `--if-changed` does nothing if the last
 * build read the same files.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdir, readdir, rm } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { type BuildOptions, build } from "esbuild";
import { inputsDigest, isBuilt, STAMP, stampBuild } from "./build-stamp.ts";

const ROOT = resolve(import.meta.dirname, "..");
const DIST = join(ROOT, "dist");
const MIGRATIONS = join(DIST, "migrations");

/** What is started by itself: the command line, and the threads that it makes. */
const PROGRAM = [
  "src/main.ts",
  "src/download/transfer/lane/lane-worker.ts",
  "src/download/transfer/lane/hash-worker.ts",
  "src/download/unpack/unpack-worker.ts",
  "src/lib/hashing/file-hash-worker.ts",
];

const common: BuildOptions = {
  absWorkingDir: ROOT,
  outdir: DIST,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node24",
  sourcemap: "linked",
  metafile: true,
  logLevel: "warning",
  legalComments: "none",
};

/** CommonJS packages inside of an ES module ask for Node's own modules by `require`. */
const REQUIRE =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

async function bundle(options: BuildOptions): Promise<string[]> {
  const { metafile } = await build({ ...common, ...options });
  return Object.keys(metafile?.outputs ?? {}).map((output) => join(ROOT, output));
}

/** The program. Chunks and workers lie beside `main.js`, so that a path relative to a module's own stays what it is. */
async function bundleProgram(): Promise<string[]> {
  return bundle({
    entryPoints: PROGRAM.map((file) => ({ in: file, out: basename(file, ".ts") })),
    splitting: true,
    chunkNames: "[name]-[hash]",
    minifySyntax: true,
    banner: { js: REQUIRE },
  });
}

async function bundleClient(): Promise<string[]> {
  return bundle({ entryPoints: [{ in: "src/client/index.ts", out: "client" }], packages: "external" });
}

async function emitTypes(): Promise<void> {
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  const tsc = spawn(process.execPath, [compiler, "-p", join(ROOT, ".scripts/client-types.json")], { stdio: "inherit" });
  const [code] = await once(tsc, "exit");
  if (code !== 0) throw new Error(`tsc ended with ${code}`);
}

/** Removes what earlier builds left behind. What is unchanged stays, for a service that runs from it may yet load it. */
async function removeStale(outputs: readonly string[]): Promise<void> {
  const fresh = new Set([...outputs, join(DIST, STAMP)]);
  const entries = await readdir(DIST, { withFileTypes: true });
  const stale = entries.filter((entry) => entry.isFile() && !fresh.has(join(DIST, entry.name)));
  await Promise.all(stale.map((entry) => rm(join(DIST, entry.name))));
}

const startedAt = performance.now();
// Taken first: what changes meanwhile is for the next build.
const digest = inputsDigest(ROOT);
if (process.argv.includes("--if-changed") && (await isBuilt(DIST, digest))) process.exit();
await mkdir(DIST, { recursive: true });
await rm(join(DIST, STAMP), { force: true });
const [program, client] = await Promise.all([
  bundleProgram(),
  bundleClient(),
  cp(join(ROOT, "src/registry/migrations"), MIGRATIONS, { recursive: true }),
  process.argv.includes("--no-types") ? undefined : emitTypes(),
]);
await removeStale([...program, ...client]);
await chmod(join(DIST, "main.js"), 0o755);
await stampBuild(DIST, digest);
console.log(
  `built ${relative(process.cwd(), DIST) || "dist"} in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
);
