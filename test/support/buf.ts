import { globSync } from "node:fs";
import { resolve } from "node:path";

const MODULES = resolve(import.meta.dirname, "../../node_modules");

/** The `buf` program of this platform itself; the command in `.bin` starts a node for each call first. */
export const BUF = globSync(`${MODULES}/@bufbuild/buf-*/bin/buf`)[0] ?? `${MODULES}/.bin/buf`;
