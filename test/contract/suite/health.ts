import { Code, ConnectError } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { HealthCheckResponse_ServingStatus as Status } from "../../../gen/grpc/health/v1/health_pb.ts";
import type { ContractContext } from "./context.ts";

const SERVICES = ["", "liveness", "modelmanager.v1.ModelService", "modelmanager.v1.WorkerService"];

/** What every client sees of grpc.health.v1.Health. */
export function describeHealth(context: () => ContractContext): void {
  it.each(SERVICES)("serves %j", async (service) => {
    expect((await context().health.check({ service })).status).toBe(Status.SERVING);
  });

  it("lists all services", async () => {
    const { statuses } = await context().health.list({});
    expect(Object.keys(statuses).sort()).toEqual(SERVICES);
  });

  it("does not know others", async () => {
    const error = await context()
      .health.check({ service: "nobody" })
      .catch((raised) => ConnectError.from(raised));
    expect(error).toMatchObject({ code: Code.NotFound });
  });
}
