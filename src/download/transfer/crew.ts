import { DomainError } from "../../domain/errors.ts";
import { type Route, SourceUnavailable } from "../../domain/ports/sources.ts";
import type { Clock } from "../../lib/clock.ts";
import { Climb } from "./climb.ts";
import type { ConnectionBudget } from "./connection-budget.ts";
import type { ConnectionEnd } from "./lane/lane-messages.ts";
import { mismatch } from "./mismatch.ts";
import { type Candidate, HELP_BYTES, type OriginChoice } from "./origin-choice.ts";
import type { Part } from "./part.ts";
import { isChecked } from "./parts/content-key.ts";
import type { TransferRequest } from "./transfer.ts";

export interface CrewTools {
  readonly budget: ConnectionBudget;
  readonly clock: Clock;
  /** A connection that brings nothing for so long is given up, in milliseconds. */
  readonly stallMs: number;
}

export interface CrewOptions {
  readonly part: Part;
  readonly origins: OriginChoice;
  readonly request: TransferRequest;
  /** Hears of an origin that begins to bring bytes. */
  readonly joined: (candidate: Candidate) => void;
  /** Hears of what a connection failed with. */
  readonly failed: (candidate: Candidate, error: DomainError) => void;
  /** Whether only one origin at a time may bring bytes, so that it is known who sent wrong ones. */
  readonly alone: boolean;
}

/** The object is another one than the bytes that are here came from. */
export class ObjectChanged extends Error {}

/** The origin does not know ranges, or speaks in a way that bare connections do not read. */
export class StreamOnly extends Error {}

const SAMPLE_MS = 100;
/** A further connection is not worth its beginning for less. */
const WORTHWHILE_BYTES = 8 * 1024 * 1024;
const UNSATISFIABLE = 416;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

interface Member {
  readonly candidate: Candidate;
  connection?: number;
}

/** The connections that bring one file together: one to begin with, and more for as long as they are worth having. */
export class Crew {
  readonly #tools: CrewTools;
  readonly #options: CrewOptions;
  readonly #climb: Climb;
  readonly #members = new Set<Member>();
  readonly #gone = Promise.withResolvers<void>();
  #since: { time: number; length: number };
  readonly #lead: Candidate;
  readonly #begun: number;
  #fatal: unknown;

  constructor(tools: CrewTools, options: CrewOptions, lead: Candidate) {
    this.#tools = tools;
    this.#options = options;
    this.#lead = lead;
    this.#climb = new Climb(this.#mirrors().length);
    this.#begun = options.part.length;
    this.#since = { time: tools.clock.now(), length: this.#begun };
  }

  /** Brings bytes until the file is whole or nobody is left who can; raises what ends the work of all. */
  async run(): Promise<void> {
    const { signal } = this.#options.request;
    const stop = this.#tools.clock.every(SAMPLE_MS, () => this.#sample());
    const dismiss = () => this.#options.part.dismiss();
    signal.addEventListener("abort", dismiss, { once: true });
    try {
      this.#hire(this.#lead);
      this.#reinforce();
      await this.#gone.promise;
    } finally {
      stop();
      signal.removeEventListener("abort", dismiss);
    }
    if (this.#fatal !== undefined) throw this.#fatal;
  }

  /** Origins that may bring bytes at the same time. */
  #mirrors(): readonly Candidate[] {
    const { origins, request, alone } = this.#options;
    return isChecked(request.file) && !alone ? origins.ready : [this.#lead];
  }

  #hire(candidate: Candidate, permit?: () => void): void {
    const member: Member = { candidate };
    this.#members.add(member);
    candidate.connections += 1;
    this.#options.joined(candidate);
    this.#work(member, permit).finally(() => {
      candidate.connections -= 1;
      this.#members.delete(member);
      if (this.#members.size === 0) this.#gone.resolve();
    });
  }

  async #work(member: Member, permit?: () => void): Promise<void> {
    const { part, request, failed } = this.#options;
    let release = permit;
    try {
      release ??= await this.#tools.budget.acquire(member.candidate.origin.host, request.signal);
      while (!request.signal.aborted && !part.isWhole && (await this.#bring(member)));
    } catch (error) {
      member.candidate.route = undefined;
      if (request.signal.aborted) return;
      if (error instanceof DomainError && error.reason !== "CONTENT_MISMATCH") {
        if (this.#members.size > 1) this.#climb.limit(this.#members.size - 1);
        failed(member.candidate, error);
      } else {
        this.#fatal ??= error;
        part.dismiss();
      }
    } finally {
      release?.();
    }
  }

  /** Brings bytes by one connection; answers whether the same origin should be asked for another one at once. */
  async #bring(member: Member): Promise<boolean> {
    const { candidate } = member;
    const { part, origins, request } = this.#options;
    const { signal } = request;
    part.throwFailure();
    const isKnown = candidate.route !== undefined;
    const route = candidate.route ?? (await candidate.origin.route?.(signal));
    if (route === undefined) throw new Error("an origin without a route was asked for one");
    candidate.route = route;
    const { connection, ended } = part.connect(candidate.key, route.target);
    member.connection = connection;
    const { received, end } = await ended;
    member.connection = undefined;
    if (received >= HELP_BYTES || (end.why === "done" && received > 0)) origins.helped(candidate);
    switch (end.why) {
      case "done":
        // If it was not told to end, its server ends a connection after each answer.
        return received > 0 && this.#members.size <= this.#climb.wanted;
      case "slow":
        return false;
      case "answer": {
        const location = REDIRECTS.has(end.status) ? end.headers.location : undefined;
        if (location !== undefined) candidate.route = await route.follow(location, signal);
        // What a redirect leads to may be signed for a while: it is asked for anew from the first address.
        else if (route.redirected && (isKnown || received > 0)) candidate.route = undefined;
        else if (end.status === UNSATISFIABLE) throw this.#problem(candidate, route, { why: "unranged" });
        else throw route.refusal(end.status, end.headers);
        return true;
      }
      case "fault":
      case "short":
        // It brought its share, and nobody else could go on in its place: the way is looked up anew, and gone at once.
        candidate.route = undefined;
        if (received >= HELP_BYTES && request.file.origins.length === 1) return true;
        throw this.#problem(candidate, route, end);
      default:
        throw this.#problem(candidate, route, end);
    }
  }

  /** What went wrong with a connection. */
  #problem(
    candidate: Candidate,
    route: Route,
    end: Exclude<ConnectionEnd, { why: "done" | "slow" | "answer" }>,
  ): unknown {
    const { file } = this.#options.request;
    const about = `file '${file.path}': the source '${candidate.origin.host}'`;
    switch (end.why) {
      case "fault":
        return route.fault(end);
      case "short":
        return new SourceUnavailable(`${about} ended an answer after ${end.received} of ${end.expected} bytes`);
      case "stalled":
        return new SourceUnavailable(
          `${about} sent nothing or next to nothing for ${Math.round(this.#tools.stallMs / 1000)} s`,
        );
      case "mismatch":
        return mismatch(file.path, candidate.origin.host, end.message);
      case "changed":
        return new ObjectChanged(`${about} has another object now`);
      default:
        candidate.streamed = true;
        return new StreamOnly(`${about} can be read as one stream only: ${end.why}`);
    }
  }

  /** Learns from the speed, and sends for connections or away. */
  #sample(): void {
    const { part, origins } = this.#options;
    const time = this.#tools.clock.now();
    const { length } = part;
    const speed = (length - this.#since.length) / Math.max(1, time - this.#since.time);
    this.#since = { time, length };
    if (length < this.#begun + Math.min(HELP_BYTES, part.missing)) return;
    for (const { candidate, connection } of this.#members) if (connection !== undefined) origins.helped(candidate);
    this.#climb.sample({ speed, connections: this.#members.size, busy: part.busy });
    const isContended = this.#tools.budget.isContended(this.#lead.origin.host);
    const wanted = isContended ? Math.min(this.#members.size - 1, this.#climb.wanted) : this.#climb.wanted;
    if (this.#members.size > Math.max(1, wanted)) this.#dismissLast();
    else if (!isContended) this.#reinforce();
  }

  /** Hires up to what is wanted, as far as it is worth while and the budget allows. */
  #reinforce(): void {
    const { part, origins } = this.#options;
    while (this.#members.size < this.#climb.wanted && part.missing > WORTHWHILE_BYTES * this.#members.size) {
      const candidate = origins.spare(this.#mirrors());
      const permit = candidate && this.#tools.budget.tryAcquire(candidate.origin.host);
      if (candidate === undefined || permit === undefined) return;
      this.#hire(candidate, permit);
    }
  }

  #dismissLast(): void {
    const last = [...this.#members].findLast(({ connection }) => connection !== undefined);
    if (last?.connection !== undefined) this.#options.part.retire(last.connection);
  }
}
