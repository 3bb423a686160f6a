import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { SourceUnavailable } from "../../src/domain/ports/sources.ts";
import { httpSource, request, testSources } from "./helpers.ts";

it.each([
  ["a length below zero", "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n"],
  ["something else than HTTP", "hello\r\n\r\n"],
])("an origin that answers with %s may be asked again", async (_, answer) => {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(answer));
  }).listen(0, "127.0.0.1");
  const sources = testSources();
  onTestFinished(async () => {
    server.close();
    await sources.close();
  });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const source = httpSource({ url: `http://127.0.0.1:${port}/file` });
  await expect(sources.resolve(source, request())).rejects.toBeInstanceOf(SourceUnavailable);
});

it("bytes that are compressed on the way are refused, since nobody would unpack them", async () => {
  const head = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n";
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (data) => socket.end(`${data}`.startsWith("HEAD") ? head : `${head}2\r\nhe\r\n0\r\n\r\n`));
  }).listen(0, "127.0.0.1");
  const sources = testSources();
  onTestFinished(async () => {
    server.close();
    await sources.close();
  });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const resolved = await sources.resolve(httpSource({ url: `http://127.0.0.1:${port}/file` }), request());
  const opened = resolved.files[0]?.origins[0]?.open({ offset: 0, signal: new AbortController().signal });
  await expect(opened).rejects.toMatchObject({ reason: "CONTENT_MISMATCH" });
});
