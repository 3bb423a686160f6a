import type { ConnectError, Interceptor, StreamResponse } from "@connectrpc/connect";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { untilAborted } from "../lib/until-aborted.ts";
import { type Call, callKey } from "./call.ts";
import { toConnectError } from "./errors.ts";
import type { RunningStream, RunningStreams } from "./running-streams.ts";

/**
 * Goes around every handler: turns what it raises into the error that travels, also in the middle of a stream, ends the call
 * when its deadline passes or its client goes away, and notes in the {@link Call} how it went. Must be the outermost one.
 */
export function createCallInterceptor(streams: RunningStreams): Interceptor {
  return (next) => async (request) => {
    const call = request.contextValues.get(callKey);
    if (!request.stream) {
      try {
        const response = await untilAborted(next(request), request.signal);
        endCall(call);
        return response;
      } catch (error) {
        throw failCall(call, error, request.signal);
      }
    }
    let running: RunningStream | undefined;
    try {
      // Watching health must be possible when all else is not.
      running = streams.open(request.signal, request.service.typeName !== Health.typeName);
      const { signal } = running;
      const response = await untilAborted(next({ ...request, signal }), signal);
      if (!response.stream) return response;
      return { ...response, message: relay(response.message, running, call) };
    } catch (error) {
      running?.close();
      throw failCall(call, error, running?.signal);
    }
  };
}

/** Notes that a call failed, and gives the error for its caller. */
export function failCall(call: Call | undefined, error: unknown, signal?: AbortSignal): ConnectError {
  const travelling = toConnectError(error, signal);
  if (call !== undefined) call.outcome = { code: travelling.code, error };
  return travelling;
}

function endCall(call: Call | undefined): void {
  if (call !== undefined) call.outcome = { code: "OK" };
}

async function* relay(messages: StreamResponse["message"], running: RunningStream, call: Call | undefined) {
  const { signal } = running;
  const iterator = messages[Symbol.asyncIterator]();
  if (call !== undefined) call.sent = 0;
  try {
    for (;;) {
      const aborted = signal.aborted;
      const result = await untilAborted(iterator.next(), signal);
      // After the abort a stream may send a last message and fail in its own way, but neither go on nor end as if all were told.
      if (aborted || (result.done && signal.aborted)) throw signal.reason;
      if (result.done) break;
      if (call?.sent !== undefined) call.sent += 1;
      yield result.value;
    }
    endCall(call);
  } catch (error) {
    throw failCall(call, error, signal);
  } finally {
    running.close();
    // Not awaited: a handler that takes no notice of its signal does not hold up the end of the stream.
    iterator.return?.().catch(() => {});
  }
}
