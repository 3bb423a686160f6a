/**
 * The result of `work`, or an error with the signal's reason once it is aborted, also if `work` takes no notice of the
 * signal. It has one turn of the event loop to end by itself, so that a last message or a better error gets through.
 */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => setImmediate(() => reject(signal.reason));
    const settled = () => signal.removeEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    work.then(
      (value) => {
        settled();
        resolve(value);
      },
      (error: unknown) => {
        settled();
        reject(error);
      },
    );
  });
}
