import { Semaphore } from "../../lib/semaphore.ts";

/** Connections of this process to sources: so many in all, so many to one host. */
export class ConnectionBudget {
  readonly #total: Semaphore;
  readonly #perHost: number;
  readonly #hosts = new Map<string, Semaphore>();

  constructor(total: number, perHost: number) {
    this.#total = new Semaphore(total);
    this.#perHost = perHost;
  }

  /** Waits for a connection to the host; answers how to give it back. */
  async acquire(host: string, signal: AbortSignal): Promise<() => void> {
    const releaseHost = await this.#ofHost(host).acquire(signal);
    try {
      const releaseTotal = await this.#total.acquire(signal);
      return () => this.#give(host, releaseTotal, releaseHost);
    } catch (error) {
      releaseHost();
      throw error;
    }
  }

  /** A connection to the host if there is one now; answers how to give it back. */
  tryAcquire(host: string): (() => void) | undefined {
    const ofHost = this.#ofHost(host);
    const releaseHost = ofHost.tryAcquire();
    const releaseTotal = releaseHost && this.#total.tryAcquire();
    if (releaseTotal === undefined) releaseHost?.();
    return releaseTotal && (() => this.#give(host, releaseTotal, releaseHost));
  }

  /** Whether somebody waits for a connection: who has several should give one back. */
  isContended(host: string): boolean {
    return this.#total.isContended || (this.#hosts.get(host)?.isContended ?? false);
  }

  #ofHost(host: string): Semaphore {
    const known = this.#hosts.get(host) ?? new Semaphore(this.#perHost);
    this.#hosts.set(host, known);
    return known;
  }

  #give(host: string, ...releases: (() => void)[]): void {
    for (const release of releases) release();
    if (this.#hosts.get(host)?.isIdle) this.#hosts.delete(host);
  }
}
