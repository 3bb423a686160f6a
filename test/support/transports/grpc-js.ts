import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type Code, ConnectError, type Transport } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { type HeadersInit, streamResponse, unaryResponse } from "./call-result.ts";

/** Connect's transport port over the grpc-js client, so that one suite runs through both. */
export function createGrpcJsTransport(address: string): Transport & { close(): void } {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());

  return {
    unary: (method, signal, timeoutMs, header, input) =>
      new Promise((resolve, reject) => {
        const call = client.makeUnaryRequest(
          pathOf(method),
          serialize(method.input),
          deserialize(method.output),
          input,
          metadataOf(header),
          optionsOf(timeoutMs),
          (error, message) => {
            if (error) reject(connectErrorOf(error));
            else resolve(unaryResponse(method, message as MessageShape<typeof method.output>));
          },
        );
        signal?.addEventListener("abort", () => call.cancel());
      }),

    async stream(method, signal, timeoutMs, header, input) {
      if (method.methodKind !== "server_streaming") {
        const message = clientStream(client, method, metadataOf(header), optionsOf(timeoutMs), input);
        return streamResponse(method, message);
      }
      let request: MessageInitShape<typeof method.input> | undefined;
      for await (const message of input) request = message;
      const call = client.makeServerStreamRequest(
        pathOf(method),
        serialize(method.input),
        deserialize(method.output),
        request as MessageInitShape<typeof method.input>,
        metadataOf(header),
        optionsOf(timeoutMs),
      );
      signal?.addEventListener("abort", () => call.cancel());
      return streamResponse(method, messagesOf(call));
    },

    close: () => client.close(),
  };
}

async function* messagesOf<M>(call: grpc.ClientReadableStream<M>): AsyncGenerator<M> {
  try {
    yield* call as AsyncIterable<M>;
  } catch (error) {
    throw connectErrorOf(error as grpc.ServiceError);
  } finally {
    call.cancel();
  }
}

async function* clientStream<I extends DescMessage, O extends DescMessage>(
  client: grpc.Client,
  method: DescMethod & { input: I; output: O },
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  input: AsyncIterable<MessageInitShape<I>>,
): AsyncGenerator<MessageShape<O>> {
  const { promise, resolve, reject } = Promise.withResolvers<MessageShape<O>>();
  const call = client.makeClientStreamRequest<MessageInitShape<I>, MessageShape<O>>(
    pathOf(method),
    serialize(method.input),
    deserialize(method.output),
    metadata,
    options,
    (error, message) => (error ? reject(connectErrorOf(error)) : resolve(message as MessageShape<O>)),
  );
  for await (const message of input) call.write(message);
  call.end();
  yield await promise;
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function serialize<I extends DescMessage>(schema: I): (init: MessageInitShape<I>) => Buffer {
  return (init) => Buffer.from(toBinary(schema, create(schema, init)));
}

function deserialize<O extends DescMessage>(schema: O): (bytes: Buffer) => MessageShape<O> {
  return (bytes) => fromBinary(schema, bytes);
}

function metadataOf(header: HeadersInit | undefined): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of new Headers(header)) metadata.set(name, value);
  return metadata;
}

function optionsOf(timeoutMs: number | undefined): grpc.CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function connectErrorOf(error: grpc.ServiceError): ConnectError {
  const connectError = new ConnectError(error.details, error.code as number as Code);
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (bytes instanceof Buffer) {
    connectError.details = fromBinary(StatusSchema, bytes).details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
  }
  return connectError;
}
