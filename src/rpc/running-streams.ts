import { DomainError } from "../domain/errors.ts";

/** A stream that runs. */
export interface RunningStream {
  /** Aborted when the call is, and when the service shuts down. */
  readonly signal: AbortSignal;
  /** Must be called when the stream ends. */
  close(): void;
}

/** The streams that are open: it limits how many there are, and ends them when the service shuts down. */
export interface RunningStreams {
  /** TOO_MANY_STREAMS at the limit, SHUTTING_DOWN after the shutdown began. `counted: false` passes the limit. */
  open(callSignal: AbortSignal, counted: boolean): RunningStream;
}

/** The error of calls that a shutdown refuses or ends. */
export function shuttingDown(): DomainError {
  return new DomainError(
    "SHUTTING_DOWN",
    "the service is shutting down; call again, it or another replica will answer",
  );
}

/** Makes the registry of open streams: at most `maxStreams` of the process, until `shutdown` is aborted. */
export function createRunningStreams(maxStreams: number, shutdown: AbortSignal): RunningStreams {
  const counted = new Set<AbortController>();
  const exempt = new Set<AbortController>();
  shutdown.addEventListener(
    "abort",
    () => {
      for (const controller of [...counted, ...exempt]) controller.abort(shuttingDown());
    },
    { once: true },
  );
  return {
    open(callSignal, isCounted) {
      if (isCounted && counted.size >= maxStreams) {
        throw new DomainError(
          "TOO_MANY_STREAMS",
          `${maxStreams} streams are open, more this service does not allow; try again later`,
        );
      }
      const controller = new AbortController();
      const set = isCounted ? counted : exempt;
      const onCallAbort = () => {
        close();
        controller.abort(callSignal.reason);
      };
      const close = () => {
        set.delete(controller);
        callSignal.removeEventListener("abort", onCallAbort);
      };
      if (callSignal.aborted) controller.abort(callSignal.reason);
      else if (shutdown.aborted) controller.abort(shuttingDown());
      else {
        set.add(controller);
        callSignal.addEventListener("abort", onCallAbort, { once: true });
      }
      return { signal: controller.signal, close };
    },
  };
}
