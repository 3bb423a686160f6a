/**
 * Maps items with at most `limit` of them at work at once; results are in the items' order. The first failure is thrown at
 * once and starts no further item; those at work are told by the signal that `work` gets.
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
    for (const [index, item] of queue) {
      either.throwIfAborted();
      results[index] = await work(item, index, either);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(limit, items.length) }, run));
  } catch (error) {
    stop.abort(error);
    throw error;
  }
  return results;
}
