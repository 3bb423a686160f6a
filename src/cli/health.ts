import type { Command } from "commander";
import { HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.ts";
import type { ModelManagerClient } from "../client/connect.ts";
import { withClient } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
import { formatTable } from "./format/table.ts";
import { print, printJson } from "./output.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

/** A probe that hangs is a failed one. */
const TIMEOUT_MS = 5_000;

interface ServiceHealth {
  /** Empty for the service as a whole. */
  readonly service: string;
  readonly status: string;
}

/** Adds `health`: prints health and says it by its exit code, so that it can be a probe. */
export function addHealth(program: Command): void {
  const command = program
    .command("health")
    .summary("say whether the service is healthy")
    .description(
      "Says how the service and its parts are. The exit code is 0 while the part that is asked for is SERVING, 1 while it " +
        "is not, and 4 if nobody answers within 5 seconds.",
    )
    .argument("[service]", "a part, such as liveness or modelmanager.v1.ModelService; default: the whole");
  withServiceOptions(command).action(health);
}

async function health(service: string | undefined, options: ServiceOptions): Promise<void> {
  const parts = await withClient(options, (client) => read(client, service));
  if (options.json) printJson({ services: Object.fromEntries(parts.map((part) => [part.service, part.status])) });
  else print(formatHealth(parts));
  const asked = parts.find((part) => part.service === (service ?? ""));
  if (asked?.status !== "SERVING") process.exitCode = EXIT.failure;
}

async function read(client: ModelManagerClient, service: string | undefined): Promise<ServiceHealth[]> {
  const options = { timeoutMs: TIMEOUT_MS };
  if (service !== undefined) {
    const { status } = await client.health.check({ service }, options);
    return [{ service, status: statusName(status) }];
  }
  const { statuses } = await client.health.list({}, options);
  return Object.entries(statuses)
    .map(([name, { status }]) => ({ service: name, status: statusName(status) }))
    .sort((a, b) => (a.service < b.service ? -1 : 1));
}

/** Prints the health of parts; the whole is called so. */
export function formatHealth(parts: readonly ServiceHealth[]): string {
  return formatTable(
    [
      { heading: "SERVICE", text: (part) => part.service || "(all of it)" },
      { heading: "STATUS", text: (part) => part.status },
    ],
    parts,
  );
}

function statusName(status: number): string {
  const entry = Object.entries(Status).find(([, value]) => value === status);
  return entry?.[0] ?? String(status);
}
