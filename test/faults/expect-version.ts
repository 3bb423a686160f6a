import type { ModelManagerClient } from "../../src/client/connect.ts";
import { checkBlobs } from "../support/check-store.ts";
import { expectThat } from "./fault-case.ts";

/** A model has one version, of files with these digests, whose blobs in the store are what their names say. */
export async function expectOneVersion(
  { models }: ModelManagerClient,
  modelId: string,
  sha256s: readonly string[],
  store: string,
): Promise<void> {
  const { versions } = await models.listVersions({ modelId });
  expectThat(versions.length === 1, `${modelId} has one version, not ${versions.length}`);
  const { version } = await models.getVersion({ modelRef: modelId });
  const digests = version?.files.map(({ digest }) => digest).sort() ?? [];
  const wanted = sha256s.map((sha256) => `sha256:${sha256}`).sort();
  expectThat(digests.join() === wanted.join(), `${modelId} has the files that the origin serves`);
  const stored = await checkBlobs(store);
  expectThat(
    sha256s.every((sha256) => stored.has(sha256)),
    `the store has every blob of ${modelId}`,
  );
}
