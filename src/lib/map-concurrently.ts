/**
 * Maps items with at most `limit` of them at work at once; results are in the items' order. After a failure no further item
 * is started and those at work are told by the signal that `work` gets; when all have ended, the first failure is thrown.
 */
export async function mapConcurrently<Item, Result>(
  items: readonly Item[],
  limit: number,
  signal: AbortSignal,
  work: (item: Item, index: number, signal: AbortSignal) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length);
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const queue = items.entries();
  const run = async (): Promise<void> => {
    try {
      for (const [index, item] of queue) {
        either.throwIfAborted();
        results[index] = await work(item, index, either);
      }
    } catch (error) {
      stop.abort(error);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, run));
  stop.signal.throwIfAborted();
  return results;
}
