import type { WireTarget } from "../../domain/ports/sources.ts";
import { Credit } from "./credit.ts";
import type { HashDigests } from "./lane/hash-messages.ts";
import { type Lane, type LaneNews, laneError, type OpenedFile } from "./lane/lane.ts";
import type { ConnectionEnd, Gap } from "./lane/lane-messages.ts";
import { isChecked } from "./parts/content-key.ts";
import type { JournalHeader } from "./parts/journal.ts";
import { Kept } from "./parts/kept.ts";
import type { PreparedPart } from "./parts/open-part.ts";
import { removePart } from "./parts/part-files.ts";
import type { PartName } from "./parts/part-names.ts";
import type { TransferRequest } from "./transfer.ts";

/** Where the bytes of a part come from. */
export interface PartOrigin {
  readonly origin?: string;
  readonly validator?: string;
  readonly size?: number;
}

/** How a connection to a part ended, and what it brought, in bytes. */
export interface Brought {
  readonly received: number;
  readonly end: ConnectionEnd;
}

/** What a part needs to be opened. */
export interface PartOptions {
  readonly lane: Lane;
  readonly prepared: PreparedPart;
  readonly request: TransferRequest;
  readonly stallMs: number;
  /** Paths of the parts that this process has open. */
  readonly open: Set<string>;
}

/** A part file that a lane fills, as the main thread sees it. */
export class Part {
  readonly name: PartName;
  readonly #request: TransferRequest;
  readonly #openPaths: Set<string>;
  readonly #connections = new Map<number, (brought: Brought) => void>();
  readonly #closing = new AbortController();
  readonly #credit: Credit;
  #file: OpenedFile | undefined;
  #header: JournalHeader;
  #length: number;
  #connected = 0;
  #busy = 0;
  #restarts = 0;
  #completion = Promise.withResolvers<{ size: number; digests: HashDigests }>();
  #failure: unknown;

  private constructor({ prepared, request, open }: PartOptions) {
    this.name = prepared.name;
    this.#request = request;
    this.#openPaths = open;
    this.#header = prepared.header;
    this.#length = new Kept(prepared.kept).total(prepared.header.size);
    this.#credit = new Credit(request.limiter, (bytes) => this.#file?.tell({ kind: "grant", bytes }));
    // Whoever fails to ask does not leave it unheard.
    this.#completion.promise.catch(() => {});
  }

  /** Opens a prepared part; what is in it is hashed at once, beside what comes. */
  static async open(options: PartOptions): Promise<Part> {
    const { prepared, request, stallMs, lane } = options;
    const { file, observer } = request;
    const part = new Part(options);
    const { name, header, kept } = prepared;
    try {
      part.#file = await lane.open(
        {
          dataPath: name.dataPath,
          journalPath: name.journalPath,
          header,
          size: header.size,
          kept,
          gitBlobSize: file.gitBlobSha1 === undefined ? undefined : file.size,
          checked: isChecked(file),
          stallMs,
        },
        (news) => part.#hear(news),
      );
    } catch (error) {
      options.open.delete(name.dataPath);
      throw error;
    }
    if (part.#length > 0) observer.kept(part.#length);
    part.#credit.run(() => part.missing, part.#closing.signal).catch((error) => part.#fail(error));
    return part;
  }

  /** Bytes that are here; all of them are hashed and written in the end. */
  get length(): number {
    return this.#length;
  }

  /** Where the bytes came from last. */
  get from(): PartOrigin {
    return this.#header;
  }

  /** Whether all bytes of the file are here, as far as its size is known. */
  get isWhole(): boolean {
    return this.#length === this.#header.size;
  }

  /** Bytes that are still to come; infinite while nobody knows. */
  get missing(): number {
    const { size } = this.#header;
    return size === undefined ? Number.POSITIVE_INFINITY : size - this.#length;
  }

  /** The share of the time that the receiving thread was busy lately. */
  get busy(): number {
    return this.#busy;
  }

  /** How often bytes were thrown away. */
  get restarts(): number {
    return this.#restarts;
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when all bytes are written and hashed. */
  complete(): Promise<{ size: number; digests: HashDigests }> {
    return this.#completion.promise;
  }

  /** Notes where the bytes come from. */
  comesFrom({ origin, validator, size }: PartOrigin): void {
    this.#header = { ...this.#header, origin, validator, size };
    this.#file?.tell({ kind: "describe", header: this.#header, size });
  }

  /** Brings bytes by a new connection. */
  connect(origin: string, target: WireTarget): { connection: number; ended: Promise<Brought> } {
    this.#connected += 1;
    const connection = this.#connected;
    const { promise, resolve } = Promise.withResolvers<Brought>();
    this.#connections.set(connection, resolve);
    this.#header = { ...this.#header, origin };
    this.#file?.tell({ kind: "connect", connection, target });
    return { connection, ended: promise };
  }

  /** Ends a connection after what it is bringing. */
  retire(connection: number): void {
    this.#file?.tell({ kind: "retire", connection });
  }

  /** Ends all connections. */
  dismiss(): void {
    this.#file?.tell({ kind: "dismiss" });
  }

  /** The first missing bytes, which are to be fed from then on; undefined if there are none. */
  async gap(): Promise<Gap | undefined> {
    return (await this.#file?.ask({ kind: "gap" })) as Gap | undefined;
  }

  /** Feeds the next bytes of the gap; resolves when they were taken in. */
  async feed(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#file?.ask({ kind: "feed", bytes });
    this.throwFailure();
  }

  /** Ends a feed; `whole` says that the file ends where it came to. */
  async fed(whole: boolean): Promise<void> {
    await this.#file?.ask({ kind: "fed", whole });
  }

  /** Throws all bytes away and goes on with an empty file; the observer hears of it if anything was lost. */
  async startOver(size: number | undefined = this.#request.file.size): Promise<void> {
    const lost = this.#length > 0;
    const { bootId, writer } = this.#header;
    this.#header = { bootId, writer, size };
    await this.#file?.ask({ kind: "restart", header: this.#header, size });
    // Only now: before the answer the lane may still tell of the bytes that go.
    this.#completion = Promise.withResolvers();
    this.#completion.promise.catch(() => {});
    this.#length = 0;
    this.#credit.took(0);
    if (!lost) return;
    this.#restarts += 1;
    await this.#request.observer.restarted();
  }

  /** Brings all to the disk and closes the file, which is whole now. */
  async seal(): Promise<void> {
    await this.#end("seal");
  }

  /** Closes the file and keeps it, with all bytes that could be written, for a later transfer; if there are none, it goes. */
  async keep(): Promise<void> {
    if ((await this.#end("close")) === false) await removePart(this.name);
  }

  /** Closes the file and takes it away. */
  async discard(): Promise<void> {
    await this.#end("close").catch(() => {});
    await removePart(this.name);
  }

  async #end(kind: "seal" | "close"): Promise<unknown> {
    this.#closing.abort();
    try {
      return await this.#file?.ask({ kind });
    } finally {
      this.#file = undefined;
      this.#openPaths.delete(this.name.dataPath);
    }
  }

  #hear(news: LaneNews): void {
    const { observer } = this.#request;
    switch (news.kind) {
      case "received":
        this.#length += news.bytes;
        this.#busy = news.busy;
        this.#credit.took(news.bytes);
        observer.received(news.bytes);
        return;
      case "pinned":
        this.comesFrom({ ...this.#header, validator: news.validator });
        return;
      case "ended":
        this.#connections.get(news.connection)?.(news);
        this.#connections.delete(news.connection);
        return;
      case "complete":
        this.#completion.resolve(news);
        return;
      case "failed":
        this.#fail(laneError(news.error));
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#completion.reject(error);
    this.dismiss();
    // A lane that failed may not tell of their end any more.
    for (const ended of this.#connections.values()) ended({ received: 0, end: { why: "done" } });
    this.#connections.clear();
  }
}
