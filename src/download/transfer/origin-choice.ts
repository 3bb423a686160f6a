import { DomainError } from "../../domain/errors.ts";
import type { FileOrigin, SourceUnavailable } from "../../domain/ports/sources.ts";
import { type Backoff, backoffMs } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";

/** An origin with the name that a part's record knows it by. */
export interface NamedOrigin {
  readonly key: string;
  readonly origin: FileOrigin;
}

interface Candidate extends NamedOrigin {
  failures: number;
  notBefore: number;
  /** Gave bytes that do not match, and is asked after all others. */
  distrusted: boolean;
  /** Why asking again is no use. */
  refusal?: DomainError;
}

/** So often may a place fail before bytes that only it can continue are given up for another place. */
const PATIENCE = 3;

/** Names for the origins of a file: their place in the order, and their host. */
export function originKeys(origins: readonly FileOrigin[]): string[] {
  return origins.map(({ host }, index) => `${index}:${host}`);
}

/** Which of a file's origins is asked next: the first one that is not waiting after a failure. */
export class OriginChoice {
  readonly #candidates: Candidate[];
  readonly #backoff: Backoff;
  readonly #clock: Clock;
  readonly #random: () => number;

  constructor(origins: readonly FileOrigin[], backoff: Backoff, clock: Clock, random: () => number) {
    const keys = originKeys(origins);
    this.#candidates = origins.map((origin, index) => ({
      key: keys[index] ?? "",
      origin,
      failures: 0,
      notBefore: 0,
      distrusted: false,
    }));
    this.#backoff = backoff;
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * The origin to ask, once its waiting time is over. `bound` is the only one that can continue what is here already, if
   * that is so. Throws the first origin's refusal when all have refused.
   */
  async next(bound: string | undefined, signal: AbortSignal): Promise<NamedOrigin> {
    const open = this.#candidates.filter(({ refusal }) => refusal === undefined);
    const patient = open.find(({ key, failures }) => key === bound && failures < PATIENCE);
    const now = this.#clock.now();
    const [chosen] = patient ? [patient] : open.sort((a, b) => order(a, b, now));
    if (chosen === undefined) throw this.#refusal();
    if (chosen.notBefore > now) await this.#clock.sleep(chosen.notBefore - now, signal);
    return chosen;
  }

  /** The origin failed in passing. */
  failed(key: string, { retryAfterMs = 0 }: Pick<SourceUnavailable, "retryAfterMs">): void {
    const candidate = this.#find(key);
    if (candidate === undefined) return;
    candidate.failures += 1;
    const wait = Math.max(backoffMs(this.#backoff, candidate.failures, this.#random), retryAfterMs);
    candidate.notBefore = this.#clock.now() + wait;
  }

  /** The origin brought bytes: its earlier failures are forgiven. */
  helped(key: string): void {
    const candidate = this.#find(key);
    if (candidate !== undefined) candidate.failures = 0;
  }

  /** The origin gave bytes that do not match. */
  distrust(key: string): void {
    const candidate = this.#find(key);
    if (candidate !== undefined) candidate.distrusted = true;
  }

  /** The origin will not give the file, however often it is asked. */
  refused(key: string, refusal: DomainError): void {
    const candidate = this.#find(key);
    if (candidate !== undefined) candidate.refusal = refusal;
  }

  #find(key: string): Candidate | undefined {
    return this.#candidates.find((candidate) => candidate.key === key);
  }

  #refusal(): DomainError {
    const [first] = this.#candidates;
    return first?.refusal ?? new DomainError("SOURCE_FILE_NOT_FOUND", "the source names no place for the file");
  }
}

/** Trusted ones first, then those that need not wait, then by preference; `sort` keeps the order of equals. */
function order(a: Candidate, b: Candidate, now: number): number {
  if (a.distrusted !== b.distrusted) return a.distrusted ? 1 : -1;
  return Math.max(a.notBefore, now) - Math.max(b.notBefore, now);
}
