import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestService, type TestService } from "../support/service.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const SNIPPETS = [...readFileSync(join(ROOT, "README.md"), "utf8").matchAll(/```ts\n(.*?)```/gs)].map(
  ([, code = ""]) => code,
);
const ADDRESS = "127.0.0.1:8085";

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.stop());

/** Runs a snippet as a program inside the package, where it can be imported by its name. */
async function run(code: string): Promise<string> {
  expect(code).toContain(ADDRESS);
  // The build is a folder that git ignores.
  const file = join(ROOT, "dist", `snippet-${process.pid}.ts`);
  await writeFile(file, code.replaceAll(ADDRESS, service.address));
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 15_000 });
    return stdout;
  } finally {
    await rm(file);
  }
}

it("has a snippet for each client", () => {
  expect(SNIPPETS).toHaveLength(2);
});

it("shows Connect's client as it works", async () => {
  expect(await run(SNIPPETS[0] ?? "")).toBe("from-connect 1\n");
});

it("shows the grpc-js client as it works", async () => {
  expect(await run(SNIPPETS[1] ?? "")).toBe("WORKER_NOT_FOUND there is no worker 'nobody'\n");
});
