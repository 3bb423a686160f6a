import { afterAll, beforeAll, expect, it } from "vitest";
import type { Reason } from "../../src/domain/errors.ts";
import type { Sources } from "../../src/domain/ports/sources.ts";
import type { Source } from "../../src/domain/source.ts";
import { failure, request, testSources } from "./helpers.ts";

let sources: Sources;
beforeAll(() => {
  sources = testSources();
});
afterAll(() => sources.close());

const raised = (work: () => void) => Promise.resolve().then(work);

it.each([[{ kind: "upload" }, "STATE_INVALID"]] satisfies [Source, Reason][])(
  "%j has no driver: %s",
  async (source, reason) => {
    await failure(
      raised(() => sources.assertDownloadable(source.kind)),
      reason,
    );
    await failure(sources.resolve(source, request()), reason);
  },
);

it.each(["http", "huggingface", "local", "oci", "s3"] as const)("%s has a driver", (kind) => {
  expect(() => sources.assertDownloadable(kind)).not.toThrow();
});
