import { execFile } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { inject } from "vitest";

/**
 * Makes a data folder for a service that has the database which its first start would make: that takes more than a
 * second of each start. Its caller removes it.
 */
export async function createDataFolder(): Promise<string> {
  const data = await mkdtemp(join(tmpdir(), "model-manager-test-"));
  await promisify(execFile)("cp", ["-a", inject("freshDatabase"), join(data, "postgres")]);
  return data;
}
