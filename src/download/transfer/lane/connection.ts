import { MAX_HEAD_BYTES, parseResponseHead, type ResponseHead } from "../../../lib/http/response-head.ts";
import { systemCode } from "../../../lib/system-error.ts";
import { type AnsweredFile, judgeAnswer } from "./answer.ts";
import type { ConnectionEnd } from "./lane-messages.ts";
import type { Run } from "./receiver.ts";
import type { Wire } from "./wire.ts";

/** Where a connection gets its work, and puts what it brings. */
export interface ConnectionWork extends AnsweredFile {
  /** The next bytes to ask for; undefined if there are none now. */
  claim(): Run | undefined;
  release(run: Run): void;
  /** Where the next bytes go; undefined if they have to wait. */
  spaceFor(run: Run): Uint8Array | undefined;
  filled(run: Run, count: number): void;
}

export interface ConnectionOptions {
  /** The request up to the headers that are the connection's own. */
  readonly prologue: string;
  /** Called once; whether the wire can be used for another file then. */
  readonly ended: (end: ConnectionEnd, reusable: boolean) => void;
}

/** Less in all the time that a connection may stall is as good as nothing. */
const LIFE_BYTES = 4 * 1024;
const MAX_INTERIM = 20;

/**
 * One HTTP/1.1 connection that brings ranges of a file, one after the other, straight into the memory of their blocks. Nothing
 * of an answer is assumed: what does not fit ends the connection.
 *
 * The socket reads into the buffer that it asked for right after the last piece came: what was said then holds until the
 * next piece, even if the connection was halted in between.
 */
export class Connection {
  readonly #work: ConnectionWork;
  readonly #options: ConnectionOptions;
  #wire: Wire | undefined;
  /** Asked for, the one that comes first at the front. */
  readonly #runs: Run[] = [];
  #head = "";
  /** Where the body ends that is coming; undefined while a head is. */
  #bodyEnd: number | undefined;
  /** The memory that the wire is to read into next; undefined for its scratch. */
  space: Uint8Array | undefined;
  /** What came although there was no memory for it. */
  #spilled: Buffer | undefined;
  #halted = false;
  #keepAlive = true;
  #retiring = false;
  /** Bytes that came since they were a sign of life. */
  #trickled = 0;
  /** Answers before the one that counts. */
  #interim = 0;
  #over = false;
  /** Bytes that this connection brought. */
  received = 0;
  readonly bornAt = performance.now();
  /** When a fair number of bytes came last, or was waited for first, in milliseconds. */
  since = performance.now();

  constructor(work: ConnectionWork, options: ConnectionOptions) {
    this.#work = work;
    this.#options = options;
  }

  /** Bytes a millisecond over its life. */
  speed(now: number): number {
    return this.received / Math.max(1, now - this.bornAt);
  }

  /** Whether it has nothing to bring now. */
  get isIdle(): boolean {
    return this.#runs.length === 0;
  }

  /** Whether the other side is to blame if nothing comes. */
  get isWaiting(): boolean {
    return !this.#halted && (this.#runs.length > 0 || this.#wire === undefined);
  }

  /** The first byte that it is bringing. */
  get position(): number | undefined {
    return this.#runs[0]?.position;
  }

  /** Takes bytes that were read into the scratch of the wire, or where it was told; answers whether it may go on. */
  read(count: number, scratched: boolean): boolean {
    if (this.#over || this.#wire === undefined) return false;
    try {
      if (scratched) this.#consume(this.#wire.scratch.subarray(0, count));
      else this.#took(count);
    } catch (error) {
      this.#fault("HPE_INVALID", error);
    }
    this.space = this.#nextSpace();
    return !this.#halted;
  }

  /** The wire is connected. */
  open(wire: Wire): void {
    this.#wire = wire;
    this.since = performance.now();
    this.resume();
    wire.socket.resume();
  }

  /** Goes on if there is work or memory again. */
  resume(): void {
    if (this.#over || this.#wire === undefined) return;
    if (this.#runs.length === 0) this.#ask();
    if (!this.#halted) return;
    const spilled = this.#spilled;
    this.#spilled = undefined;
    this.#halted = false;
    if (spilled !== undefined) this.#consume(spilled);
    // What the socket will read into was said when it was halted, and stays the scratch until then.
    this.#halted = this.#spilled !== undefined || (this.#bodyEnd !== undefined && this.#nextSpace() === undefined);
    if (this.#over || this.#halted) return;
    this.since = performance.now();
    this.#wire.socket.resume();
  }

  /** Ends after what it was asked for. */
  retire(): void {
    this.#retiring = true;
    if (this.#runs.length === 0) this.end({ why: "done" });
  }

  fail(error: Error): void {
    this.#fault(systemCode(error) ?? "ECONNRESET", error);
  }

  /** The other side closed it. */
  closed(): void {
    const run = this.#runs[0];
    if (run === undefined) this.end({ why: "done" });
    else if (this.#bodyEnd !== undefined) {
      this.end({ why: "short", received: run.position - run.start, expected: this.#bodyEnd - run.start });
    } else this.#fault("UND_ERR_SOCKET", new Error("the connection was closed before an answer"));
  }

  /** Ends at once. */
  end(end: ConnectionEnd): void {
    if (this.#over) return;
    this.#over = true;
    const reusable = end.why === "done" && this.#keepAlive && this.#runs.length === 0 && this.#head === "";
    for (const run of this.#runs.splice(0)) this.#work.release(run);
    this.#options.ended(end, reusable);
  }

  #lives(): void {
    this.#trickled = 0;
    this.since = performance.now();
  }

  #fault(code: string, error: unknown): void {
    this.end({ why: "fault", code, message: error instanceof Error ? error.message : String(error) });
  }

  /** Asks for the next range if there is one. */
  #ask(): void {
    if (this.#retiring || !this.#keepAlive) return;
    const run = this.#work.claim();
    if (run === undefined) return;
    if (this.#runs.length === 0) this.since = performance.now();
    this.#runs.push(run);
    const { validator } = this.#work;
    const pin = validator === undefined ? "" : `if-range: ${validator}\r\n`;
    this.#wire?.socket.write(
      `${this.#options.prologue}range: bytes=${run.start}-${run.end - 1}\r\n${pin}\r\n`,
      "latin1",
    );
  }

  /** Takes bytes that did not go where they belong. */
  #consume(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0 && !this.#over) {
      if (this.#bodyEnd === undefined) {
        rest = this.#readHead(rest);
        continue;
      }
      const space = this.#nextSpace();
      if (space === undefined) {
        const before = this.#spilled ?? Buffer.alloc(0);
        this.#spilled = Buffer.concat([before, rest]);
        this.#halted = true;
        return;
      }
      const fitting = rest.subarray(0, space.length);
      space.set(fitting);
      rest = rest.subarray(fitting.length);
      this.#took(fitting.length);
    }
  }

  /** Bytes of the body are where they belong. */
  #took(count: number): void {
    const [run] = this.#runs;
    if (run === undefined) return;
    this.received += count;
    this.#trickled += count;
    // A few bytes now and then are no sign of life, nor is a head that goes on and on.
    if (this.#trickled >= LIFE_BYTES) this.#lives();
    this.#work.filled(run, count);
    if (run.position === this.#bodyEnd) this.#finishRun(run);
    // In time for the answer to begin when this one ends, but no earlier: what is asked for takes memory from others.
    else if (this.#runs.length === 1 && run.end - run.position <= run.position - run.start) this.#ask();
  }

  #finishRun(run: Run): void {
    this.#bodyEnd = undefined;
    this.#runs.shift();
    this.#lives();
    // A shorter answer than was asked for is allowed: the rest is asked for again.
    if (run.position < run.end) this.#work.release(run);
    if (!this.#keepAlive || (this.#retiring && this.#runs.length === 0)) this.end({ why: "done" });
    else if (this.#runs.length === 0) this.#ask();
  }

  /** Memory for the next bytes of a body; none while a head comes. */
  #nextSpace(): Uint8Array | undefined {
    const [run] = this.#runs;
    if (run === undefined || this.#bodyEnd === undefined || this.#over) return undefined;
    if (this.#spilled !== undefined) return undefined;
    const space = this.#work.spaceFor(run);
    if (space === undefined) {
      this.#halted = true;
      return undefined;
    }
    return space.subarray(0, this.#bodyEnd - run.position);
  }

  /** Reads on in a head; answers what follows it. */
  #readHead(bytes: Buffer): Buffer {
    const text = this.#head + bytes.toString("latin1");
    if (this.#runs.length === 0) throw new Error("bytes came that were not asked for");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) {
      if (text.length > MAX_HEAD_BYTES) throw new Error("the head of the answer does not end");
      this.#head = text;
      return bytes.subarray(bytes.length);
    }
    const rest = bytes.subarray(end + 4 - this.#head.length);
    this.#head = "";
    this.#answered(parseResponseHead(text.slice(0, end)));
    return rest;
  }

  #answered(head: ResponseHead): void {
    const [run] = this.#runs;
    if (run === undefined) return;
    if (head.status < 200) {
      this.#interim += 1;
      if (this.#interim > MAX_INTERIM) throw new Error("there is no end of interim answers");
      return;
    }
    this.#interim = 0;
    this.#keepAlive = head.keepAlive;
    const judged = judgeAnswer(head, run, this.#work, this.#runs.length === 1);
    if ("why" in judged) this.end(judged);
    else {
      this.#bodyEnd = judged.bodyEnd;
      run.end = Math.max(run.end, judged.bodyEnd);
    }
  }
}
