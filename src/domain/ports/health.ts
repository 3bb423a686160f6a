/** A part of the service that can be reached or not. */
export interface HealthProbe {
  /** Resolves while the part works; rejects with the reason otherwise. Bounded in time by the caller. */
  check(signal: AbortSignal): Promise<void>;
}
