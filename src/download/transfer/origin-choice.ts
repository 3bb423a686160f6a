import { DomainError } from "../../domain/errors.ts";
import type { FileOrigin, Route, SourceUnavailable } from "../../domain/ports/sources.ts";
import { type Backoff, backoffMs } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import type { HostCircuits } from "./host-circuits.ts";

/** One of a file's origins while it is transferred. */
export interface Candidate {
  /** What a part's journal knows it by. */
  readonly key: string;
  readonly origin: FileOrigin;
  failures: number;
  notBefore: number;
  /** How often it alone gave bytes that do not match; those with fewer are asked first. */
  distrusted: number;
  /** Can be read as one stream only. */
  streamed: boolean;
  /** Connections that it has now. */
  connections: number;
  /** Where its bytes were found last. */
  route?: Route;
  /** Why asking again is no use. */
  refusal?: DomainError;
}

export interface OriginChoiceTools {
  readonly backoff: Backoff;
  readonly clock: Clock;
  /** Answers 0 up to, not including, 1. */
  readonly random: () => number;
  readonly circuits: HostCircuits;
}

/** Who brings less before each failure is no help. */
export const HELP_BYTES = 64 * 1024;

/** So often may a place fail before bytes that only it can continue are given up for another place. */
const PATIENCE = 3;

/** Names for the origins of a file: their place in the order, and their host. */
export function originKeys(origins: readonly FileOrigin[]): string[] {
  return origins.map(({ host }, index) => `${index}:${host}`);
}

/** Which of a file's origins is asked next: the first one that is not waiting after a failure. */
export class OriginChoice {
  readonly #candidates: Candidate[];
  readonly #tools: OriginChoiceTools;

  constructor(origins: readonly FileOrigin[], tools: OriginChoiceTools) {
    const keys = originKeys(origins);
    this.#candidates = origins.map((origin, index) => ({
      key: keys[index] ?? "",
      origin,
      failures: 0,
      notBefore: 0,
      distrusted: 0,
      streamed: origin.route === undefined,
      connections: 0,
    }));
    this.#tools = tools;
  }

  /**
   * The origin to ask, once its waiting time is over. `bound` is the only one that can continue what is here already, if
   * that is so. Throws the first origin's refusal when all have refused.
   */
  async next(bound: string | undefined, signal: AbortSignal): Promise<Candidate> {
    const { clock, circuits } = this.#tools;
    const open = this.#candidates.filter(({ refusal }) => refusal === undefined);
    const patient = open.find(({ key, failures }) => key === bound && failures < PATIENCE);
    const now = clock.now();
    const [chosen] = patient ? [patient] : open.sort((a, b) => this.#order(a, b, now));
    if (chosen === undefined) throw this.#refusal();
    const wait = this.#readyAt(chosen) - now;
    if (wait > 0) await clock.sleep(wait, signal);
    circuits.enter(chosen.origin.host);
    return chosen;
  }

  /** Which of `candidates` to ask for one more connection now: the one with the fewest; undefined if none is ready. */
  spare(candidates: readonly Candidate[]): Candidate | undefined {
    const now = this.#tools.clock.now();
    const [chosen] = candidates
      .filter((candidate) => this.#readyAt(candidate) <= now)
      .sort((a, b) => a.connections - b.connections);
    return chosen;
  }

  /** Those that several connections at once can be made to. */
  get ready(): readonly Candidate[] {
    return this.#candidates.filter(
      ({ refusal, distrusted, streamed, failures }) =>
        refusal === undefined && distrusted === 0 && !streamed && failures < PATIENCE,
    );
  }

  /** The origin failed in passing. Answers whether that is news: connections that fail together fail for one reason. */
  failed(candidate: Candidate, { retryAfterMs = 0 }: Pick<SourceUnavailable, "retryAfterMs">): boolean {
    const { backoff, random, clock, circuits } = this.#tools;
    if (clock.now() < candidate.notBefore) return false;
    candidate.failures += 1;
    const wait = Math.max(backoffMs(backoff, candidate.failures, random), retryAfterMs);
    candidate.notBefore = clock.now() + wait;
    circuits.failed(candidate.origin.host);
    return true;
  }

  /** The origin brought bytes: its earlier failures are forgiven. */
  helped(candidate: Candidate): void {
    candidate.failures = 0;
    this.#tools.circuits.helped(candidate.origin.host);
  }

  #readyAt({ notBefore, origin }: Candidate): number {
    return Math.max(notBefore, this.#tools.circuits.openUntil(origin.host));
  }

  /** Trusted ones first, then those that need not wait, then by preference; `sort` keeps the order of equals. */
  #order(a: Candidate, b: Candidate, now: number): number {
    if (a.distrusted !== b.distrusted) return a.distrusted - b.distrusted;
    return Math.max(this.#readyAt(a), now) - Math.max(this.#readyAt(b), now);
  }

  #refusal(): DomainError {
    const [first] = this.#candidates;
    return first?.refusal ?? new DomainError("SOURCE_FILE_NOT_FOUND", "the source names no place for the file");
  }
}
