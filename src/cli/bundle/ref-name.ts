import { createHash } from "node:crypto";

/** What the OCI image specification allows as the name of an index entry. */
const ALLOWED = /^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*$/;

/**
 * The name by which other tools find a version in a bundle: `<id>:<version or alias>`. Few ids cannot stand there (`a__b`,
 * `a-`): of them each run of separators becomes a `-`, and the beginning of a hash of the id keeps them apart.
 */
export function refName(modelId: string, tag: string): string {
  const name = `${modelId}:${tag}`;
  if (ALLOWED.test(name)) return name;
  const plain = (text: string) => text.replace(/[^A-Za-z0-9/]+/g, "-").replace(/-(?=\/|$)/g, "");
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 8);
  return `${plain(modelId)}-${hash}:${plain(tag)}`;
}
