import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");

/** Which rooms each room may import from, besides itself; single files count as rooms. Whoever is missing here fails. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  lib: [],
  domain: ["lib"],
  rpc: ["gen", "domain", "lib"],
  handlers: ["gen", "domain", "lib"],
  registry: ["domain", "lib"],
  download: ["domain", "lib"],
  sources: ["domain", "lib"],
  metadata: ["domain", "lib"],
  store: ["domain", "lib"],
  uploads: ["domain", "lib"],
  delivery: ["domain", "lib"],
  telemetry: ["domain", "lib"],
  client: ["gen", "lib"],
  config: ["domain", "lib"],
  compose: [
    "config",
    "rpc",
    "handlers",
    "registry",
    "download",
    "sources",
    "store",
    "metadata",
    "telemetry",
    "uploads",
    "delivery",
    "domain",
    "lib",
  ],
  cli: ["compose", "config", "client", "telemetry", "gen", "domain", "lib"],
  main: ["cli", "lib"],
};

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|import\s+["']([^"']+)["']/g;

function room(path: string): string {
  const [top = "", next = ""] = relative(ROOT, path).split("/");
  return top === "src" ? next.replace(/\.ts$/, "") : top;
}

function importsOf(file: string): { from: string; to: string; specifier: string }[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(IMPORT)]
    .map((match) => match[1] ?? match[2] ?? match[3] ?? "")
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => ({ from: room(file), to: room(join(dirname(file), specifier)), specifier }));
}

describe("layering", () => {
  const files = globSync("src/**/*.ts", { cwd: ROOT }).map((file) => join(ROOT, file));

  it("reads the imports it is about to judge", () => {
    expect(files.length).toBeGreaterThan(20);
    expect(files.flatMap(importsOf).length).toBeGreaterThan(50);
  });

  it("lets imports point one way only", () => {
    const backwards = files.flatMap((file) =>
      importsOf(file)
        .filter(({ from, to }) => from !== to && !(MAY_IMPORT[from] ?? []).includes(to))
        .map(({ from, to, specifier }) => `${relative(ROOT, file)}: ${from} must not import ${to} (${specifier})`),
    );
    expect(backwards).toEqual([]);
  });

  it("keeps the tools of the outside out of the domain", () => {
    const outside = globSync("src/domain/**/*.ts", { cwd: ROOT }).flatMap((file) =>
      [...readFileSync(join(ROOT, file), "utf8").matchAll(/from\s*["']([^."'][^"']*)["']/g)]
        .map((match) => match[1] ?? "")
        .filter((specifier) => !specifier.startsWith("node:"))
        .map((specifier) => `${file}: ${specifier}`),
    );
    expect(outside).toEqual([]);
  });
});
