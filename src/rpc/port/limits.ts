/** How long the port waits for its clients, and how much one of them may ask for. Times are milliseconds, sizes bytes. */
export interface PortLimits {
  /** From accepting a connection until its protocol is known; also for the TLS handshake and HTTP/2's first SETTINGS. */
  readonly handshakeMs: number;
  /** For the whole head of an HTTP/1.1 request. */
  readonly headersMs: number;
  /** An HTTP/1.1 connection without a request; longer than the 60 s of common load balancers, so that they close first. */
  readonly keepAliveMs: number;
  /** An HTTP/1.1 connection that neither sends the rest of its request nor reads its answer. A quiet stream of ours is let be. */
  readonly stallMs: number;
  /** An HTTP/2 session without a stream is sent away (GOAWAY) after this time. */
  readonly sessionIdleMs: number;
  /** Every HTTP/2 session is sent a PING this often; one that is not answered until the next ends the connection. */
  readonly pingMs: number;
  /** Streams of one HTTP/2 session at a time; clients queue what is above. */
  readonly maxConcurrentStreams: number;
  /** HTTP/2 flow-control window, of each stream and of the session. */
  readonly windowBytes: number;
  /** The head of a request, in either HTTP version. */
  readonly maxHeaderBytes: number;
}

/** What {@link PortLimits} are if nothing else is said. */
export const DEFAULT_PORT_LIMITS: PortLimits = {
  handshakeMs: 10_000,
  headersMs: 15_000,
  keepAliveMs: 75_000,
  stallMs: 60_000,
  sessionIdleMs: 300_000,
  pingMs: 60_000,
  maxConcurrentStreams: 1000,
  windowBytes: 1024 * 1024,
  maxHeaderBytes: 16 * 1024,
};
