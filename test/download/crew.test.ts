import { createHash, randomBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { systemClock } from "../../src/lib/clock.ts";
import { digestOf } from "../store/contract.ts";
import { type Bench, createBench, watchTransfer } from "./support/transfers.ts";

const MiB = 1024 * 1024;
const CONNECTION_BYTES_PER_MS = (8 * MiB) / 1000;
const bytes = randomBytes(40 * MiB);
const sha256 = createHash("sha256").update(bytes).digest("hex");

/** A server of the bytes that limits each connection, and counts those that bring bytes at the same time. */
interface LimitedOrigin {
  readonly url: string;
  most: number;
  served: number;
  close(): Promise<void>;
}

async function startLimitedOrigin(): Promise<LimitedOrigin> {
  /** An answer that was asked for ahead waits for the one before it. */
  const busy = new Set<unknown>();
  const server: Server = createServer(async (request, response) => {
    const [, first = "0", last = ""] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "") ?? [];
    const end = last === "" ? bytes.length : Number(last) + 1;
    const headers = {
      "content-range": `bytes ${first}-${end - 1}/${bytes.length}`,
      "content-length": end - Number(first),
    };
    if (request.method === "HEAD") return void response.writeHead(200, { "content-length": bytes.length }).end();
    response.writeHead(206, headers);
    busy.add(request.socket);
    origin.most = Math.max(origin.most, busy.size);
    for (let at = Number(first); at < end && !response.destroyed; at += 256 * 1024) {
      const piece = bytes.subarray(at, Math.min(end, at + 256 * 1024));
      response.write(piece);
      origin.served += piece.length;
      await systemClock.sleep(piece.length / CONNECTION_BYTES_PER_MS);
    }
    busy.delete(request.socket);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin: LimitedOrigin = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.bin`,
    most: 0,
    served: 0,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return origin;
}

let bench: Bench;
const origins: LimitedOrigin[] = [];

beforeAll(async () => {
  bench = await createBench();
});
afterAll(async () => {
  await bench.close();
  await Promise.all(origins.map((origin) => origin.close()));
});

async function limited(): Promise<LimitedOrigin> {
  const origin = await startLimitedOrigin();
  origins.push(origin);
  return origin;
}

it("takes more connections where each is limited, and brings every byte once", async () => {
  const origin = await limited();
  const transfer = await bench.process({ maxConnections: 64 });
  const { heard, done } = watchTransfer(transfer, await bench.file({ url: origin.url, sha256 }));
  expect(await done).toMatchObject({ digest: digestOf(bytes), size: bytes.length });
  expect(origin.most).toBeGreaterThan(2);
  expect(heard.received).toBe(bytes.length);
});

it.each([
  ["of the process", { maxConnections: 2 }],
  ["to one host", { maxConnections: 64, maxHostConnections: 2 }],
])("never takes more than the connections %s", async (_whose, limits) => {
  const origin = await limited();
  const transfer = await bench.process(limits);
  const { done } = watchTransfer(transfer, await bench.file({ url: origin.url, sha256 }));
  expect(await done).toMatchObject({ digest: digestOf(bytes) });
  expect(origin.most).toBe(2);
});

it("takes mirrors as further connections at once", async () => {
  const [first, second] = [await limited(), await limited()];
  const transfer = await bench.process({ maxConnections: 2 });
  const file = await bench.file({ url: first.url, mirrors: [second.url], sha256 });
  const { heard, done } = watchTransfer(transfer, file);
  expect(await done).toMatchObject({ digest: digestOf(bytes) });
  expect(heard.received).toBe(bytes.length);
  expect(first.served).toBeGreaterThan(8 * MiB);
  expect(second.served).toBeGreaterThan(8 * MiB);
});
