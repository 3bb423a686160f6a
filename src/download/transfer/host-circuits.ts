import { type Backoff, backoffMs } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";

interface Circuit {
  failures: number;
  openUntil: number;
  /** Whether somebody is finding out. */
  tried: boolean;
}

/** So many failures in a row, of whatever files, open the circuit of a host. */
const TOLERATED = 5;
/** How long the first one after a pause has the host for itself. */
const TRIAL_MS = 10_000;

/**
 * Leaves hosts alone that fail whoever asks: after some failures in a row nobody asks for a while, then one tries, and the
 * others follow once that brought bytes.
 */
export class HostCircuits {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #backoff: Backoff;
  readonly #circuits = new Map<string, Circuit>();

  /** `backoff` is how long a host is left alone, from the failure that opens its circuit on. */
  constructor(clock: Clock, random: () => number, backoff: Backoff) {
    this.#clock = clock;
    this.#random = random;
    this.#backoff = backoff;
  }

  /** When the host may be asked again, by the clock; in the past if it may be now. */
  openUntil(host: string): number {
    return this.#circuits.get(host)?.openUntil ?? 0;
  }

  /** Somebody is about to ask the host: if it failed before, all others wait for what comes of it. */
  enter(host: string): void {
    const circuit = this.#circuits.get(host);
    if (circuit === undefined || circuit.failures < TOLERATED) return;
    circuit.openUntil = this.#clock.now() + TRIAL_MS;
    circuit.tried = true;
  }

  failed(host: string): void {
    const circuit = this.#circuits.get(host) ?? { failures: 0, openUntil: 0, tried: false };
    this.#circuits.set(host, circuit);
    // What was asked before it opened says nothing new.
    if (circuit.openUntil > this.#clock.now() && !circuit.tried) return;
    circuit.tried = false;
    circuit.failures += 1;
    if (circuit.failures < TOLERATED) return;
    circuit.openUntil = this.#clock.now() + backoffMs(this.#backoff, circuit.failures - TOLERATED + 1, this.#random);
  }

  /** The host brought bytes. */
  helped(host: string): void {
    this.#circuits.delete(host);
  }
}
