import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import * as http from "node:http";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createDataFolder } from "../support/data-folder.ts";
import { processesBelow } from "../support/processes.ts";
import { type ServiceProcess, startServiceProcess } from "../support/service-process.ts";
import { ask, digestOf, put, send } from "./http.ts";

let data: string;
const running: Pick<ServiceProcess, "kill" | "exited">[] = [];

beforeEach(async () => {
  data = await createDataFolder();
});

afterEach(async () => {
  for (const process of running) {
    process.kill("SIGKILL");
    await process.exited;
  }
  await expect.poll(() => processesBelow(data), { timeout: 10_000 }).toEqual([]);
  await rm(data, { recursive: true, force: true });
});

function start(): Promise<ServiceProcess> {
  return startServiceProcess({ MODEL_MANAGER_DATA: data }, { onSpawn: (process) => running.push(process) });
}

/** How many bytes of a blob are there. */
async function kept(url: string, bytes: Buffer): Promise<number> {
  const { headers } = await ask(url, digestOf(bytes), bytes.length);
  const [, last] = /^bytes=0-(\d+)$/.exec(headers.range ?? "") ?? [];
  return last === undefined ? 0 : Number(last) + 1;
}

it("goes on with an upload that a kill -9 cut, at what is on the disk", async () => {
  const bytes = randomBytes(12_000_000);
  const first = await start();
  const cut = http.request(`${first.url}/blobs/${digestOf(bytes)}`, {
    method: "PUT",
    headers: { "content-length": bytes.length },
  });
  cut.on("error", () => {});
  cut.write(bytes.subarray(0, 9_000_000));
  while ((await kept(first.url, bytes)) < 9_000_000) {
    // What was sent arrives when it arrives.
  }
  first.kill("SIGKILL");
  await first.exited;

  const second = await start();
  expect(await send(`${second.url}/blobs/${digestOf(bytes)}`)).toMatchObject({ status: 404 });
  const there = await kept(second.url, bytes);
  expect(there).toBeGreaterThan(7_000_000);
  expect(there).toBeLessThanOrEqual(9_000_000);
  expect(await put(second.url, bytes, { start: there, end: bytes.length })).toMatchObject({ status: 201 });
  expect((await send(`${second.url}/blobs/${digestOf(bytes)}`)).body.equals(bytes)).toBe(true);
});
