import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import {
  create,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type Code, ConnectError, type Transport } from "@connectrpc/connect";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { type HeadersInit, streamResponse, unaryResponse } from "./call-result.ts";

/** The first Python that has gRPC's C core, or undefined. */
export function findPythonWithGrpc(): string | undefined {
  return ["/usr/bin/python3", "python3"].find((python) => spawnSync(python, ["-c", "import grpc"]).status === 0);
}

interface Answer {
  readonly message?: string;
  readonly end?: boolean;
  readonly code?: number;
  readonly text?: string;
  readonly details?: string;
}

/** Connect's transport port over Python's grpcio; one process that makes one call at a time. */
export function createPythonTransport(python: string, address: string): Transport & { close(): Promise<void> } {
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(
    python,
    [resolve(import.meta.dirname, "python_grpc.py"), address],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let turn: Promise<unknown> = Promise.resolve();

  async function call<M extends DescMethod>(
    method: M,
    header: HeadersInit | undefined,
    timeoutMs: number | undefined,
    inits: readonly MessageInitShape<M["input"]>[],
  ): Promise<MessageShape<M["output"]>[]> {
    const request = {
      path: `/${method.parent.typeName}/${method.name}`,
      kind: method.methodKind,
      metadata: [...new Headers(header)],
      timeout: (timeoutMs ?? 30_000) / 1000,
      messages: inits.map((init) => Buffer.from(toBinary(method.input, create(method.input, init))).toString("base64")),
    };
    child.stdin.write(`${JSON.stringify(request)}\n`);
    const messages: MessageShape<M["output"]>[] = [];
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error("python ended");
      const answer = JSON.parse(value) as Answer;
      if (answer.message !== undefined) {
        messages.push(fromBinary(method.output, Buffer.from(answer.message, "base64")) as MessageShape<M["output"]>);
      }
      if (answer.code !== undefined) throw errorOf(answer);
      if (answer.end) return messages;
    }
  }

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = turn.then(work);
    turn = result.catch(() => undefined);
    return result;
  }

  return {
    async unary(method, _signal, timeoutMs, header, input) {
      const [message] = await inTurn(() => call(method, header, timeoutMs, [input]));
      return unaryResponse(method, message as MessageShape<typeof method.output>);
    },

    async stream(method, _signal, timeoutMs, header, input) {
      const requests: MessageInitShape<typeof method.input>[] = [];
      for await (const message of input) requests.push(message);
      async function* messages() {
        yield* await inTurn(() => call(method, header, timeoutMs, requests));
      }
      return streamResponse(method, messages());
    },

    async close() {
      child.stdin.end();
      if (child.exitCode === null) await once(child, "exit");
    },
  };
}

function errorOf({ code, text, details }: Answer): ConnectError {
  const error = new ConnectError(text ?? "", code as Code);
  error.details = fromBinary(StatusSchema, Buffer.from(details ?? "", "base64")).details.map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
    value,
  }));
  return error;
}
