import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { noise } from "./model-files.ts";

/** A file with its SHA-256 in lower-case hex. */
export interface RandomFile {
  readonly path: string;
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

/** Writes `size` bytes at a path that look random and depend on `seed` alone. */
export async function writeRandomFile(path: string, size: number, seed: number): Promise<RandomFile> {
  const hash = createHash("sha256");
  await using file = await open(path, "w");
  for (const piece of noise(size, seed)) {
    hash.update(piece);
    await file.writeFile(piece);
  }
  return { path, name: basename(path), size, sha256: hash.digest("hex") };
}
