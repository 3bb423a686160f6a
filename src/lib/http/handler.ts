import type * as http from "node:http";
import type * as http2 from "node:http2";

/** A request of either HTTP version. */
export type PortRequest = http.IncomingMessage | http2.Http2ServerRequest;

/** The answer to a {@link PortRequest}. */
export type PortResponse = http.ServerResponse | http2.Http2ServerResponse;

/** Answers a request of either HTTP version. It must not throw: it answers its own failures. */
export type PortHandler = (request: PortRequest, response: PortResponse) => void;

/**
 * Looks at an HTTP/2 stream before a request and a response are built for it.
 *
 * Returns true if it took the stream, which is then its own to answer and to watch for errors; on false the
 * {@link PortHandler} gets it.
 */
export type StreamHandler = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => boolean;
