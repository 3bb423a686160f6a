import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  type HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Status,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { DomainError } from "../domain/errors.ts";
import type { HealthMonitor, ServingStatus } from "./health-monitor.ts";

const STATUS: Readonly<Record<ServingStatus, Status>> = {
  SERVING: Status.SERVING,
  NOT_SERVING: Status.NOT_SERVING,
};

/** `grpc.health.v1.Health`: says what the monitor knows, and for watchers follows it. */
export function createHealthService(monitor: HealthMonitor): ServiceImpl<typeof Health> {
  return {
    check({ service }) {
      const status = monitor.status(service);
      if (status === undefined) {
        const known = [...monitor.statuses().keys()].map((name) => `'${name}'`).join(", ");
        throw new DomainError(
          "HEALTH_SERVICE_NOT_FOUND",
          `service: the health of this name is not known, but of ${known}`,
        );
      }
      return { status: STATUS[status] };
    },

    list() {
      const statuses = [...monitor.statuses()].map(([service, status]) => [service, { status: STATUS[status] }]);
      return { statuses: Object.fromEntries(statuses) };
    },

    async *watch({ service }, { signal }) {
      let last: Status | undefined;
      for (;;) {
        const known = monitor.status(service);
        const status = known === undefined ? Status.SERVICE_UNKNOWN : STATUS[known];
        if (status !== last) {
          // What changes while it is being sent is looked at next: a slow watcher is told the newest status only.
          last = status;
          yield { status } satisfies MessageInitShape<typeof HealthCheckResponseSchema>;
          continue;
        }
        if (signal.aborted) throw signal.reason;
        await nextChange(monitor, signal);
      }
    },
  };
}

/** Resolves at the next change of any status, or when the signal is aborted. */
function nextChange(monitor: HealthMonitor, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      unsubscribe();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const unsubscribe = monitor.subscribe(done);
    signal.addEventListener("abort", done, { once: true });
  });
}
