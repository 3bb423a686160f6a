import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Logger } from "../../src/domain/logger.ts";
import { createCredentialsFile } from "../../src/sources/credentials-file.ts";
import { failure, silent } from "./helpers.ts";

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(os.tmpdir(), "model-manager-credentials-"));
  path = join(folder, "credentials.json");
});

afterEach(() => rm(folder, { recursive: true }));

describe("the file of credentials", () => {
  it("is read again when it changes", async () => {
    await writeFile(path, JSON.stringify({ hub: { token: "first", hosts: ["Example.com"] } }));
    const credentials = createCredentialsFile({ path, log: silent });
    expect(await credentials.find("credential", "hub")).toEqual({ token: "first", hosts: ["example.com"] });
    await writeFile(path, JSON.stringify({ hub: { token: "second" } }));
    expect(await credentials.find("credential", "hub")).toEqual({ token: "second" });
    await writeFile(path, "{");
    await failure(credentials.find("credential", "hub"), "STATE_INVALID");
    await writeFile(path, JSON.stringify({ hub: { token: "third" } }));
    expect(await credentials.find("credential", "hub")).toEqual({ token: "third" });
  });

  it("has access keys for S3", async () => {
    const key = { access_key_id: "AKIA", secret_access_key: "s3cret/+=" };
    const lent = { ...key, session_token: "t", hosts: ["MinIO:9000"] };
    await writeFile(path, JSON.stringify({ key, lent }));
    const credentials = createCredentialsFile({ path, log: silent });
    const accessKey = { accessKeyId: "AKIA", secretAccessKey: "s3cret/+=" };
    expect(await credentials.find("credential", "key")).toEqual({ accessKey });
    expect(await credentials.find("credential", "lent")).toEqual({
      accessKey: { ...accessKey, sessionToken: "t" },
      hosts: ["minio:9000"],
    });
  });

  it("refuses names that it does not have, also those that every object has, and repeats none: it may be a secret", async () => {
    await writeFile(path, JSON.stringify({ hub: { token: "t" } }));
    const credentials = createCredentialsFile({ path, log: silent });
    for (const name of ["other", "constructor", "__proto__"]) {
      expect((await failure(credentials.find("credential", name), "FIELD_INVALID")).message).not.toContain(name);
    }
    const none = createCredentialsFile({ log: silent });
    expect((await failure(none.find("credential", "hub"), "FIELD_INVALID")).message).toContain(
      "MODEL_MANAGER_CREDENTIALS",
    );
  });

  it.each([
    ["not JSON", '{"hub": {"token": s3cret}}'],
    ["no object", '["s3cret"]'],
    ["a token without an object", '{"hub": "s3cret"}'],
    ["a token of another kind", '{"hub": {"token": ["s3cret"]}}'],
    ["a token with a line break", '{"hub": {"token": "s3cret\\n"}}'],
    ["an unknown word", '{"hub": {"token": "t", "s3cret": 1}}'],
    ["an access key without its secret", '{"hub": {"access_key_id": "s3cret"}}'],
    ["a token and an access key", '{"hub": {"token": "t", "access_key_id": "s3cret", "secret_access_key": "x"}}'],
    ["hosts of another kind", '{"hub": {"token": "t", "hosts": "s3cret"}}'],
  ])("that is broken is an error that shows nothing of it: %s", async (_, content) => {
    await writeFile(path, content);
    const lines: unknown[] = [];
    const note = (...line: unknown[]) => void lines.push(line);
    const log: Logger = { debug: note, info: note, warn: note, error: note, child: () => log };
    const credentials = createCredentialsFile({ path, log });
    const error = await failure(credentials.find("credential", "hub"), "STATE_INVALID");
    await failure(credentials.find("credential", "hub"), "STATE_INVALID");
    expect(error.message).not.toContain(folder);
    expect(lines).toHaveLength(1);
    expect(inspect([error, lines], { depth: 20 })).not.toContain("s3cret");
  });

  it("that is not there is an error of the manager's", async () => {
    const error = await failure(
      createCredentialsFile({ path, log: silent }).find("credential", "hub"),
      "STATE_INVALID",
    );
    expect(error.message).not.toContain(folder);
  });
});
