import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { ModelManagerClient } from "../../src/client/connect.ts";
import type { MadeFile } from "../support/model-files.ts";
import { say } from "./narration.ts";

/** Reads every file of the models' newest versions in the store's folder; throws unless each hashes to what the origin has. */
export async function compareBlobs(
  { models }: ModelManagerClient,
  modelIds: readonly string[],
  store: string,
  served: readonly MadeFile[],
): Promise<void> {
  const missing = new Map(served.map((file) => [file.path, file.sha256]));
  for (const modelRef of modelIds) {
    const { version } = await models.getVersion({ modelRef });
    for (const { path, digest } of version?.files ?? []) {
      const hex = digest.replace(/^sha256:/, "");
      const stored = await hashOf(join(store, "blobs", "sha256", hex.slice(0, 2), hex));
      const wanted = missing.get(path);
      if (stored !== wanted) throw new Error(`${path} in the store hashes to ${stored}, at the origin to ${wanted}`);
      missing.delete(path);
      say(`same  ${stored.slice(0, 16)}…  ${modelRef}  ${path}`);
    }
  }
  if (missing.size > 0) throw new Error(`not in the store: ${[...missing.keys()].join(", ")}`);
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}
