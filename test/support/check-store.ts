import { createHash } from "node:crypto";
import { createReadStream, globSync } from "node:fs";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";

/**
 * Reads every blob in the store's folder; answers their digests in hex.
 *
 * @throws Error if a blob is not what its name says.
 */
export async function checkBlobs(store: string): Promise<ReadonlySet<string>> {
  const digests = new Set<string>();
  for (const file of globSync("blobs/sha256/*/*", { cwd: store })) {
    const hash = createHash("sha256");
    await pipeline(createReadStream(join(store, file), { highWaterMark: 1 << 20 }), hash);
    const digest = hash.digest("hex");
    if (digest !== basename(file)) throw new Error(`the blob ${basename(file)} holds bytes that hash to ${digest}`);
    digests.add(digest);
  }
  return digests;
}

/** What lies in the store's folder for unfinished files. */
export function partsIn(store: string): string[] {
  return globSync("parts/**/*", { cwd: store });
}
