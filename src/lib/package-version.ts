import { readFileSync } from "node:fs";
import { findPackageJSON } from "node:module";

/** The version of this package, as its `package.json` says it, both from the sources and from the build. */
export function packageVersion(): string {
  const path = findPackageJSON(".", import.meta.url);
  if (path === undefined) return "0.0.0";
  const { version }: { version: string } = JSON.parse(readFileSync(path, "utf8"));
  return version;
}
