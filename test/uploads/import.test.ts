import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createModelManagerClient, type ModelManagerClient } from "../../src/client/index.ts";
import { runCli } from "../cli/run-cli.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { digestOf, send } from "./http.ts";

let service: TestService;
let client: ModelManagerClient;
let folder: string;
const weights = randomBytes(5_000_000);

beforeAll(async () => {
  service = await startTestService({ MODEL_MANAGER_TOKEN: "secret", MODEL_MANAGER_QUOTA: "20MiB" });
  client = createModelManagerClient(service.url, { token: "secret" });
  folder = await mkdtemp(join(tmpdir(), "model-manager-import-"));
  for (const name of ["model/weights", "model/.git", "model/.cache", "outside"]) {
    await mkdir(join(folder, name), { recursive: true });
  }
  await writeFile(join(folder, "model/weights/1.safetensors"), weights);
  await writeFile(join(folder, "model/config.json"), "{}");
  await writeFile(join(folder, "model/.git/HEAD"), "left out");
  await writeFile(join(folder, "model/.cache/x"), "left out");
  await symlink("weights/1.safetensors", join(folder, "model/same.safetensors"));
  await writeFile(join(folder, "outside/tokenizer.json"), "[]");
});

afterAll(async () => {
  client?.close();
  await service?.stop();
  await rm(folder, { recursive: true, force: true });
});

function run(...args: string[]) {
  return runCli(["import", ...args], {
    env: { MODEL_MANAGER_SERVER: service.url, MODEL_MANAGER_TOKEN: "secret" },
    cwd: folder,
  });
}

it("makes a model and a version of a folder, and sends nothing twice", async () => {
  const first = await run("org/imported", "model", "--alias", "production", "--license", "mit");
  expect(first).toMatchObject({ code: 0, stderr: "" });
  expect(first.stdout).toMatch(
    /^org\/imported@1 is ready: 9\.5 MiB in 3 files, verified, in .*, 4\.8 MiB of it sent\n/,
  );
  const { version } = await client.models.getVersion({ modelRef: "org/imported@production" });
  expect(version).toMatchObject({ version: 1, license: "mit" });
  expect(version?.files.map(({ path, digest }) => [path, digest])).toEqual([
    ["config.json", digestOf(Buffer.from("{}"))],
    ["same.safetensors", digestOf(weights)],
    ["weights/1.safetensors", digestOf(weights)],
  ]);
  const again = await run("org/imported", "model", "--json");
  expect(JSON.parse(again.stdout)).toMatchObject({ version: { version: 1 }, sentBytes: 0 });
  const more = await run("org/imported", "model", "outside/tokenizer.json", "--quiet");
  expect(more).toMatchObject({ code: 0, stdout: "org/imported@2\n" });
});

it("follows links out of a folder only if it is told to", async () => {
  await symlink("../outside/tokenizer.json", join(folder, "model/tokenizer.json"));
  const refused = await run("linked", "model");
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/tokenizer\.json: is a link out of model\n.*--follow-links/);
  expect(await run("linked", "model", "--follow-links", "-q")).toMatchObject({ code: 0, stdout: "linked@1\n" });
  await symlink("..", join(folder, "model/weights/up"));
  expect((await run("linked", "model", "--follow-links")).stderr).toMatch(/up: leads back to a folder/);
});

it.each([
  [["nowhere"], 2, /nowhere: there is no such file or folder/],
  [["outside", "outside/tokenizer.json"], 2, /would both be 'tokenizer\.json' in the version/],
])("says what is wrong with %j", async (paths, code, message) => {
  const result = await run("wrong", ...paths);
  expect(result.code).toBe(code);
  expect(result.stderr).toMatch(message);
});

it("lets nobody send blobs without the token, or more than the quota has room for", async () => {
  const url = `${service.url}/blobs/${digestOf(weights)}`;
  for (const method of ["PUT", "GET", "HEAD"]) expect(await send(url, { method })).toMatchObject({ status: 401 });
  const headers = { authorization: "Bearer secret", "content-range": "bytes 0-0/30000000", "content-length": 1 };
  const answer = await send(`${service.url}/blobs/${digestOf(Buffer.from("x"))}`, {
    method: "PUT",
    headers,
    body: Buffer.from("x"),
  });
  expect(answer.status).toBe(507);
  expect(answer.json()).toMatchObject({
    code: "resource_exhausted",
    message: expect.stringContaining("quota"),
    details: [{ debug: { reason: "QUOTA_EXCEEDED" } }],
  });
});
