import type { FeedEvent, Named, WatchRequest } from "../../src/domain/ports/feeds.ts";

/** A watch whose events are kept as they come. */
export class Watching {
  readonly events: FeedEvent[] = [];
  readonly ended: Promise<unknown>;
  readonly #controller = new AbortController();
  #look = () => {};

  constructor(watch: (request: WatchRequest) => AsyncIterable<FeedEvent>, request: Omit<WatchRequest, "signal"> = {}) {
    this.ended = this.#take(watch({ ...request, signal: this.#controller.signal })).catch((error: unknown) => {
      this.#look();
      return error;
    });
  }

  /** The events so far once one of them is as wanted. */
  async until(wanted: (event: FeedEvent) => boolean): Promise<FeedEvent[]> {
    let failed = false;
    void this.ended.then(() => {
      failed = true;
    });
    while (!this.events.some(wanted)) {
      if (failed) throw new Error(`the watch ended: ${await this.ended}`);
      await new Promise<void>((resolve) => {
        this.#look = resolve;
      });
    }
    return this.events.splice(0);
  }

  /** What came until all up to a sequence was told. */
  async upTo(sequence: number): Promise<FeedEvent[]> {
    return await this.until((event) => event.kind === "BOOKMARK" && event.sequence >= sequence);
  }

  async stop(): Promise<void> {
    this.#controller.abort(new Error("stopped"));
    await this.ended;
  }

  async #take(events: AsyncIterable<FeedEvent>): Promise<void> {
    for await (const event of events) {
      this.events.push(event);
      this.#look();
    }
  }
}

/** What an event says, in short. */
export function brief(event: FeedEvent): string {
  return event.kind === "BOOKMARK" ? event.kind : `${event.kind} ${keyOf(event)}`;
}

/** A resource's name among all. */
export function keyOf(named: Named): string {
  const { noun, resource } = named;
  if (noun === "version") return `${noun} ${resource.modelId}@${resource.version}`;
  if (noun === "alias") return `${noun} ${resource.modelId}@${resource.alias}`;
  return `${noun} ${resource.id}`;
}

/** What a watcher holds after the events. */
export function applyEvents(held: Map<string, unknown>, events: readonly FeedEvent[]): void {
  for (const event of events) {
    if (event.kind === "BOOKMARK") continue;
    if (event.kind === "DELETED") held.delete(keyOf(event));
    else held.set(keyOf(event), event.resource);
  }
}
