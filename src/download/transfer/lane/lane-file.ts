import type { WireTarget } from "../../../domain/ports/sources.ts";
import type { JournalHeader } from "../parts/journal.ts";
import { Connection, type ConnectionWork } from "./connection.ts";
import type { Hasher } from "./hasher.ts";
import type { IdleWires } from "./idle-wires.ts";
import type { ConnectionEnd, Gap, LaneEvent, LaneFileOptions } from "./lane-messages.ts";
import { faultOf } from "./lane-messages.ts";
import { Receiver, type Run } from "./receiver.ts";
import type { Slabs } from "./slabs.ts";
import { Wire } from "./wire.ts";

/** What the files of a lane share. */
export interface LaneTools {
  readonly slabs: Slabs;
  readonly hasher: Hasher;
  readonly idle: IdleWires;
  /** Slabs that one file may hold now. */
  readonly quota: () => number;
  /** The share of the time that this thread was busy lately. */
  readonly busy: () => number;
}

/** So much is told of at once; less is told after a while. */
const TELL_BYTES = 4 * 1024 * 1024;
/** However slow the limit, a read takes so much. */
const LEAST_READ = 16 * 1024;
/** Connections are compared after so long. */
const COMPARE_MS = 1_000;
const SLOWER = 4;

/** A part file that fills from connections, or from what it is fed. */
export class LaneFile implements ConnectionWork {
  readonly #tools: LaneTools;
  readonly #options: LaneFileOptions;
  readonly #tell: (event: LaneEvent) => void;
  readonly #receiver: Receiver;
  readonly #connections = new Map<number, Connection>();
  readonly #unsubscribe: () => void;
  #header: JournalHeader;
  #feed: { run: Run; waiting: { rest: Uint8Array; resolve: () => void }[] } | undefined;
  /** Bytes that may be taken in yet; below zero when a read took more. */
  #credit = 0;
  #untold = 0;
  validator: string | undefined;

  constructor(options: LaneFileOptions, tools: LaneTools, tell: (event: LaneEvent) => void) {
    this.#options = options;
    this.#tools = tools;
    this.#tell = tell;
    this.#header = options.header;
    this.validator = options.checked ? undefined : options.header.validator;
    const shared = { ...tools, connections: () => this.#connections.size };
    this.#receiver = new Receiver(options, shared, {
      complete: (size, digests) => {
        this.#flushNews();
        this.#tell({ kind: "complete", size, digests });
        this.dismiss();
      },
      failed: (error) => this.#fail(error),
      room: () => this.#wake(),
    });
    this.#unsubscribe = tools.slabs.onFree(() => this.#wake());
    this.#receiver.start();
  }

  // What connections ask.

  get size(): number | undefined {
    return this.#receiver.size;
  }

  claim(): Run | undefined {
    return this.#receiver.claim();
  }

  release(run: Run): void {
    this.#receiver.release(run);
  }

  spaceFor(run: Run): Uint8Array | undefined {
    if (this.#credit <= 0) return undefined;
    return this.#receiver.spaceFor(run)?.subarray(0, Math.max(LEAST_READ, this.#credit));
  }

  filled(run: Run, count: number): void {
    this.#credit -= count;
    this.#untold += count;
    try {
      this.#receiver.filled(run, count);
    } catch (error) {
      this.#fail(error);
    }
    if (this.#untold >= TELL_BYTES) this.#flushNews();
  }

  takesWhole(): boolean {
    return this.#receiver.isEmpty && this.#connections.size === 1;
  }

  agree(validator: string | undefined): ConnectionEnd | undefined {
    if (!this.#options.checked) {
      if (validator === undefined) return { why: "unpinned" };
      if (this.validator !== undefined && this.validator !== validator) return { why: "changed" };
      if (this.validator === undefined) this.#tell({ kind: "pinned", validator });
      this.validator = validator;
    }
    return undefined;
  }

  // What the main thread asks.

  connect(id: number, target: WireTarget): void {
    const headers = Object.entries(target.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const prologue = `GET ${target.path} HTTP/1.1\r\n${headers.join("")}`;
    let wire: Wire;
    let fresh = false;
    const ended = (end: ConnectionEnd, reusable: boolean) => {
      this.#connections.delete(id);
      if (reusable) this.#tools.idle.keep(target, wire);
      else {
        wire.user = undefined;
        wire.socket.destroy();
      }
      // A connection of before may have been closed by the other side just then, which says nothing of the next.
      if (!fresh && connection.received === 0 && (end.why === "fault" || end.why === "short")) {
        this.connect(id, target);
        return;
      }
      this.#flushNews();
      this.#tell({ kind: "ended", connection: id, received: connection.received, end });
      this.#wake();
    };
    const connection = new Connection(this, { prologue, ended });
    this.#connections.set(id, connection);
    const known = this.#tools.idle.take(target, connection);
    fresh = known === undefined;
    wire = known ?? new Wire(target, connection);
    if (known !== undefined) connection.open(known);
  }

  retire(id: number): void {
    this.#connections.get(id)?.retire();
  }

  dismiss(): void {
    for (const connection of [...this.#connections.values()]) connection.end({ why: "done" });
  }

  grant(bytes: number): void {
    this.#credit += bytes;
    this.#wake();
  }

  gap(): Gap | undefined {
    const gap = this.#receiver.gap();
    if (gap !== undefined) {
      const { start, end = Number.POSITIVE_INFINITY } = gap;
      this.#feed = { run: { start, position: start, end }, waiting: [] };
    }
    return gap;
  }

  /** Resolves when the bytes were taken in. */
  feed(bytes: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#feed?.waiting.push({ rest: bytes, resolve });
    this.#drainFeed();
    return promise;
  }

  fed(whole: boolean): void {
    const feed = this.#feed;
    this.#feed = undefined;
    if (feed === undefined) return;
    for (const { resolve } of feed.waiting) resolve();
    this.#receiver.release(feed.run);
    this.#flushNews();
    if (whole) this.#receiver.end(feed.run.position);
  }

  describe(header: JournalHeader, size: number | undefined): void {
    this.#header = header;
    this.#receiver.describe(header, size);
  }

  async restart(header: JournalHeader, size: number | undefined): Promise<void> {
    this.dismiss();
    this.fed(false);
    this.#header = header;
    this.validator = this.#options.checked ? undefined : header.validator;
    await this.#receiver.restart(header, size);
    this.#receiver.start();
  }

  async seal(): Promise<void> {
    this.#unsubscribe();
    await this.#receiver.seal();
  }

  /** Answers whether the file is of use to a later transfer. */
  async close(): Promise<boolean> {
    this.dismiss();
    this.fed(false);
    this.#unsubscribe();
    const { validator } = this;
    return await this.#receiver.close(validator === undefined ? this.#header : { ...this.#header, validator });
  }

  /** Tells what came, gives up what stalled, and replaces what holds all others up. To be called many times a second. */
  tick(): void {
    const now = performance.now();
    this.#flushNews();
    for (const connection of [...this.#connections.values()]) {
      if (!connection.isWaiting || now - connection.since < this.#options.stallMs) continue;
      connection.end({ why: "stalled" });
    }
    this.#replaceStraggler(now);
  }

  #fail(error: unknown): void {
    this.#flushNews();
    this.#tell({ kind: "failed", error: faultOf(error) });
    this.dismiss();
  }

  #wake(): void {
    for (const connection of [...this.#connections.values()]) connection.resume();
    this.#drainFeed();
  }

  /** Ends the connection that brings the first missing bytes if others wait and are much faster. */
  #replaceStraggler(now: number): void {
    const all = [...this.#connections.values()];
    if (!all.some(({ isIdle }) => isIdle)) return;
    const [first] = all
      .filter(({ position }) => position !== undefined)
      .sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
    if (first === undefined || now - first.bornAt < COMPARE_MS) return;
    const fastest = Math.max(...all.map((connection) => connection.speed(now)));
    if (first.speed(now) * SLOWER < fastest) first.end({ why: "slow" });
  }

  #drainFeed(): void {
    const feed = this.#feed;
    while (feed !== undefined) {
      const [next] = feed.waiting;
      if (next === undefined) return;
      const space = next.rest.length === 0 ? undefined : this.spaceFor(feed.run);
      if (next.rest.length > 0 && space === undefined) return;
      if (space !== undefined) {
        const fitting = next.rest.subarray(0, space.length);
        space.set(fitting);
        next.rest = next.rest.subarray(fitting.length);
        this.filled(feed.run, fitting.length);
      }
      if (next.rest.length > 0) continue;
      feed.waiting.shift();
      next.resolve();
    }
  }

  #flushNews(): void {
    if (this.#untold === 0) return;
    this.#tell({ kind: "received", bytes: this.#untold, busy: this.#tools.busy() });
    this.#untold = 0;
  }
}
