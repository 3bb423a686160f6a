import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { GenService, GenServiceMethods } from "@bufbuild/protobuf/codegenv2";
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type Metadata,
  type MethodDefinition,
  makeGenericClientConstructor,
  type requestCallback,
} from "@grpc/grpc-js";

type Method = GenServiceMethods[string];
type Request<M extends Method> = MessageInitShape<M["input"]>;
type Response<M extends Method> = MessageShape<M["output"]>;

/** A message, or what one can be made of. */
type Fields = Record<string, unknown>;

/** Sends one message and calls back with one. */
interface UnaryCall<I, O> {
  (request: I, callback: requestCallback<O>): ClientUnaryCall;
  (request: I, metadata: Metadata, callback: requestCallback<O>): ClientUnaryCall;
  (request: I, metadata: Metadata, options: CallOptions, callback: requestCallback<O>): ClientUnaryCall;
}

/** Sends one message and reads a stream. */
interface ServerStreamingCall<I, O> {
  (request: I, options?: CallOptions): ClientReadableStream<O>;
  (request: I, metadata: Metadata, options?: CallOptions): ClientReadableStream<O>;
}

/** Writes a stream and calls back with one message. */
interface ClientStreamingCall<I, O> {
  (callback: requestCallback<O>): ClientWritableStream<I>;
  (metadata: Metadata, callback: requestCallback<O>): ClientWritableStream<I>;
  (metadata: Metadata, options: CallOptions, callback: requestCallback<O>): ClientWritableStream<I>;
}

/** Writes a stream and reads one. */
interface BidiStreamingCall<I, O> {
  (options?: CallOptions): ClientDuplexStream<I, O>;
  (metadata: Metadata, options?: CallOptions): ClientDuplexStream<I, O>;
}

/** A method as grpc-js clients have it. */
type Call<M extends Method> = M["methodKind"] extends "unary"
  ? UnaryCall<Request<M>, Response<M>>
  : M["methodKind"] extends "server_streaming"
    ? ServerStreamingCall<Request<M>, Response<M>>
    : M["methodKind"] extends "client_streaming"
      ? ClientStreamingCall<Request<M>, Response<M>>
      : BidiStreamingCall<Request<M>, Response<M>>;

/** A grpc-js client with the methods of a service, named as in generated code: `getModel`. */
export type GrpcJsClient<Methods extends GenServiceMethods> = Client & { [Name in keyof Methods]: Call<Methods[Name]> };

/**
 * Makes a `@grpc/grpc-js` client from a generated service such as `ModelService`. Requests may be plain objects of
 * fields; answers are messages of the generated types.
 *
 * @param address host and port, such as `127.0.0.1:8085`
 * @param credentials such as `credentials.createInsecure()` of grpc-js
 */
export function createGrpcJsClient<Methods extends GenServiceMethods>(
  service: GenService<Methods>,
  address: string,
  credentials: ChannelCredentials,
  options?: ClientOptions,
): GrpcJsClient<Methods> {
  const definition: Record<string, MethodDefinition<Fields, Fields>> = {};
  for (const method of service.methods) {
    definition[method.localName] = {
      path: `/${service.typeName}/${method.name}`,
      requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      requestSerialize: serializer(method.input),
      requestDeserialize: deserializer(method.input),
      responseSerialize: serializer(method.output),
      responseDeserialize: deserializer(method.output),
    };
  }
  const Constructor = makeGenericClientConstructor(definition, service.typeName);
  // The constructor adds a method for every entry of the definition, which its own type does not say.
  return new Constructor(address, credentials, options) as Client as GrpcJsClient<Methods>;
}

function serializer(schema: DescMessage): (value: Fields) => Buffer {
  return (value) => {
    const bytes = toBinary(schema, create(schema, value));
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function deserializer(schema: DescMessage): (bytes: Buffer) => Fields {
  return (bytes) => fromBinary(schema, bytes);
}
