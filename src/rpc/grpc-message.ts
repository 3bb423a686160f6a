import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

const GRPC = /^application\/grpc(?:[+;]|$)/i;
const GRPC_WEB = /^application\/grpc-web(?:[+;]|$)/i;
const TRAILER_FLAG = 0x80;
const ENVELOPE_HEAD = 5;

/**
 * Encodes a status message as gRPC wants it: only what is not printable ASCII, and '%', is percent-encoded, byte by byte.
 */
export function encodeGrpcMessage(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]+/g, (run) =>
    Array.from(Buffer.from(run), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/**
 * Connect encodes the status message of gRPC and gRPC-Web answers as a part of a URL, and clients that decode by gRPC's rule
 * alone show it so (`name%3A must be`). This puts it right on its way out.
 */
export function withGrpcMessage(response: UniversalServerResponse): UniversalServerResponse {
  const { header, trailer, body } = response;
  const type = header?.get("content-type") ?? "";
  if (body === undefined) return response;
  if (GRPC.test(type) && trailer !== undefined) return { ...response, body: mendTrailer(body, trailer) };
  if (GRPC_WEB.test(type)) return { ...response, body: mendTrailerEnvelope(body) };
  return response;
}

/** The trailer is complete when the body has ended. */
async function* mendTrailer(body: AsyncIterable<Uint8Array>, trailer: Headers): AsyncGenerator<Uint8Array> {
  yield* body;
  const message = trailer.get("grpc-message");
  if (message !== null) trailer.set("grpc-message", encodeGrpcMessage(decodeURIComponent(message)));
}

/** gRPC-Web sends the trailer as the last envelope of the body; Connect yields each envelope as one chunk. */
async function* mendTrailerEnvelope(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    const isTrailer = chunk[0] === TRAILER_FLAG;
    yield isTrailer ? mendEnvelope(chunk) : chunk;
  }
}

function mendEnvelope(envelope: Uint8Array): Uint8Array {
  const text = Buffer.from(envelope.subarray(ENVELOPE_HEAD)).toString();
  const mended = Buffer.from(
    text.replace(
      /^(grpc-message: )(.*)$/im,
      (_line, name: string, value: string) => name + encodeGrpcMessage(decodeURIComponent(value)),
    ),
  );
  const head = Buffer.alloc(ENVELOPE_HEAD);
  head[0] = TRAILER_FLAG;
  head.writeUInt32BE(mended.length, 1);
  return Buffer.concat([head, mended]);
}
