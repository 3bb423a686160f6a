import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import os from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

/** Another program's folder, in which the built package is installed. */
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(os.tmpdir(), "model-manager-test-"));
  await mkdir(join(folder, "node_modules"));
  await symlink(ROOT, join(folder, "node_modules/model-manager"));
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the package model-manager/client", () => {
  it("is imported by its name", async () => {
    const program = 'import * as client from "model-manager/client"; console.log(Object.keys(client).join(" "));';
    await writeFile(join(folder, "program.mjs"), program);
    const { stdout } = await run(process.execPath, ["program.mjs"], { cwd: folder });
    const names = stdout.trim().split(" ");
    expect(names).toEqual(
      expect.arrayContaining([
        "createModelManagerClient",
        "createGrpcJsClient",
        "errorDetails",
        "errorReason",
        "ModelService",
        "WorkerService",
        "Health",
        "ModelSchema",
        "DownloadState",
        "ErrorReason",
      ]),
    );
  });

  it("brings its types", async () => {
    const program = `
      import { createModelManagerClient, type Model } from "model-manager/client";
      const { models } = createModelManagerClient("http://127.0.0.1:8085");
      export const model: Promise<Model | undefined> = models.getModel({ modelRef: "a" }).then((answer) => answer.model);
      // @ts-expect-error there is no such field
      models.getModel({ id: "a" });
    `;
    await writeFile(join(folder, "program.ts"), program);
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const options = [
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2024",
      "--typeRoots",
      join(ROOT, "node_modules/@types"),
    ];
    const { stdout } = await run(process.execPath, [tsc, ...options, "program.ts"], { cwd: folder });
    expect(stdout).toBe("");
  });
});
