import { type Code, createContextKey } from "@connectrpc/connect";

/** How a call ended. */
export interface Outcome {
  readonly code: Code | "OK";
  /** What was raised, as it was raised: for the log, not for the caller. */
  readonly error?: unknown;
}

/** One call on its way through the service. */
export interface Call {
  /** From the client's `x-request-id`, or made here. */
  readonly id: string;
  /** `<package.Service>/<Method>`. */
  readonly method: string;
  readonly protocol: "grpc" | "grpc-web" | "connect";
  readonly httpVersion: string;
  /** Address and port of the other end. */
  readonly peer: string;
  /** By the monotonic clock, in milliseconds. */
  readonly startMs: number;
  /** Messages sent; of streams only. */
  sent?: number;
  /** Set where the call ends: by the gate, or around the handler. */
  outcome?: Outcome;
  /** Why the call's signal was aborted: tells how a call ended that never reached its handler. */
  abortReason?: unknown;
}

/** Where a call is found in the context values of Connect's handlers and interceptors. */
export const callKey = createContextKey<Call | undefined>(undefined, { description: "the call" });
