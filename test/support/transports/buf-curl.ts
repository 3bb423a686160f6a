import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { create, type DescMethod, fromJsonString, type MessageInitShape, toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { BUF } from "../buf.ts";
import { type HeadersInit, streamResponse, unaryResponse } from "./call-result.ts";

/** Connect's transport port over the `buf curl` command, which learns the schema by reflection. */
export function createBufCurlTransport(url: string, protocol: "grpc" | "grpcweb" | "connect"): Transport {
  function run(method: DescMethod, header: HeadersInit | undefined, data: string): ChildProcess {
    const headers = [...new Headers(header)].flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
    const target = `${url}/${method.parent.typeName}/${method.name}`;
    const args = ["curl", "--http2-prior-knowledge", "--protocol", protocol, ...headers, "--data", "@-", target];
    const child = spawn(BUF, args, { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin?.end(data);
    return child;
  }

  return {
    async unary(method, _signal, _timeoutMs, header, input) {
      const child = run(method, header, toJsonString(method.input, create(method.input, input)));
      return unaryResponse(method, fromJsonString(method.output, await outputOf(child)));
    },

    async stream(method, signal, _timeoutMs, header, input) {
      const requests: string[] = [];
      for await (const init of input as AsyncIterable<MessageInitShape<typeof method.input>>) {
        requests.push(toJsonString(method.input, create(method.input, init)));
      }
      const child = run(method, header, requests.join("\n"));
      signal?.addEventListener("abort", () => child.kill());
      async function* messages() {
        for (const document of documentsOf(await outputOf(child))) yield fromJsonString(method.output, document);
      }
      return streamResponse(method, messages());
    },
  };
}

async function outputOf(child: ChildProcess): Promise<string> {
  const [out, err, [exitCode]] = await Promise.all([
    text(child.stdout as NonNullable<typeof child.stdout>),
    text(child.stderr as NonNullable<typeof child.stderr>),
    once(child, "exit"),
  ]);
  if (exitCode === 0) return out;
  throw errorOf(err);
}

/** `buf curl` prints an error as Connect's JSON does. */
function errorOf(printed: string): ConnectError {
  const json = JSON.parse(printed) as { code: string; message?: string; details?: { type: string; value: string }[] };
  const error = new ConnectError(json.message ?? "", codeFromString(json.code) ?? Code.Unknown);
  error.details = (json.details ?? []).map(({ type, value }) => ({ type, value: Buffer.from(value, "base64") }));
  return error;
}

/** Splits JSON documents that follow each other; `buf curl` prints a stream's messages indented, each from a line `{`. */
function documentsOf(printed: string): string[] {
  return printed.split(/^(?=\{)/m).filter((document) => document.trim() !== "");
}
