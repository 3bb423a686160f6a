import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";
import type { Logger } from "../domain/logger.ts";
import type { HealthProbe } from "../domain/ports/health.ts";
import type { HealthSummary } from "./port/plain-routes.ts";

export type ServingStatus = "SERVING" | "NOT_SERVING";

/** The service that says that the process runs, whatever else is away: restarting it would mend nothing. */
export const LIVENESS = "liveness";

export interface HealthMonitorOptions {
  readonly database: HealthProbe;
  readonly store: HealthProbe;
  /** From the end of one round of probes to the next; default 1000 ms. */
  readonly intervalMs?: number;
  /** After which a probe counts as failed; default 2000 ms. */
  readonly timeoutMs?: number;
  readonly log: Logger;
}

/** Knows the health of every service that health can be asked of. */
export interface HealthMonitor {
  /** Undefined for a service that it does not know. */
  status(service: string): ServingStatus | undefined;
  statuses(): ReadonlyMap<string, ServingStatus>;
  /** Calls `listener` after each change of any status; the result ends that. */
  subscribe(listener: () => void): () => void;
  /** For `GET /health`. */
  summary(): HealthSummary;
  /** Runs the first round of probes, and goes on until the shutdown. Before it only `liveness` is SERVING. */
  start(): Promise<void>;
  /** Turns everything NOT_SERVING for good. */
  shutDown(): void;
}

interface Dependency {
  readonly name: string;
  readonly probe: HealthProbe;
  /** Absent until it was probed. */
  up?: boolean;
}

/**
 * Watches the database and the store. `""`, ModelService and WorkerService are SERVING while the database answers,
 * ModelService also only while the store does.
 */
export function createHealthMonitor(options: HealthMonitorOptions): HealthMonitor {
  const { intervalMs = 1000, timeoutMs = 2000, log } = options;
  const listeners = new Set<() => void>();
  const database: Dependency = { name: "database", probe: options.database };
  const store: Dependency = { name: "store", probe: options.store };
  let stopped = false;
  let statuses = currentStatuses();
  let timer: NodeJS.Timeout | undefined;

  function currentStatuses(): ReadonlyMap<string, ServingStatus> {
    const serving = (up: boolean | undefined): ServingStatus => (up && !stopped ? "SERVING" : "NOT_SERVING");
    return new Map([
      ["", serving(database.up)],
      [ModelService.typeName, serving(database.up && store.up)],
      [WorkerService.typeName, serving(database.up)],
      [LIVENESS, serving(true)],
    ]);
  }

  function publish(): void {
    const before = statuses;
    statuses = currentStatuses();
    if ([...statuses].every(([service, status]) => before.get(service) === status)) return;
    for (const listener of [...listeners]) listener();
  }

  async function probe(dependency: Dependency): Promise<void> {
    let error: unknown;
    try {
      await withTimeout(dependency.probe, timeoutMs);
    } catch (reason) {
      error = reason ?? new Error("no reason given");
    }
    if (stopped) return;
    const up = error === undefined;
    if (!up && dependency.up !== false)
      log.warn("a dependency cannot be reached", { dependency: dependency.name, error });
    if (up && dependency.up === false) log.info("a dependency can be reached again", { dependency: dependency.name });
    dependency.up = up;
    publish();
  }

  async function round(): Promise<void> {
    await Promise.all([probe(database), probe(store)]);
    if (!stopped) timer = setTimeout(round, intervalMs);
  }

  return {
    status: (service) => statuses.get(service),
    statuses: () => statuses,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    summary: () => ({
      status: statuses.get("") ?? "NOT_SERVING",
      services: Object.fromEntries([...statuses].filter(([service]) => service !== "")),
    }),
    start: round,
    shutDown() {
      stopped = true;
      clearTimeout(timer);
      publish();
    },
  };
}

/** Runs a probe that may take no notice of its signal. */
function withTimeout(probe: HealthProbe, timeoutMs: number): Promise<void> {
  const controller = new AbortController();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const error = new Error(`no answer within ${timeoutMs} ms`);
      controller.abort(error);
      reject(error);
    }, timeoutMs);
    probe
      .check(controller.signal)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
