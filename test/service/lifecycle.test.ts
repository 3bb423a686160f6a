import { once } from "node:events";
import { mkdtemp, rename, rm } from "node:fs/promises";
import * as http2 from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.ts";
import { ModelService, WatchDownloadRequestSchema } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { expectError } from "../contract/suite/context.ts";
import { startOrigin } from "../support/origin.ts";
import { processesBelow } from "../support/processes.ts";
import { runRefusedService, type ServiceProcess, startServiceProcess } from "../support/service-process.ts";

const WATCHED = ["", "modelmanager.v1.ModelService", "modelmanager.v1.WorkerService", "liveness"];

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "model-manager-life-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function start(data: string, environment = {}): Promise<ServiceProcess> {
  const service = await startServiceProcess({ MODEL_MANAGER_DATA: data, ...environment });
  onTestFinished(async () => {
    service.kill("SIGKILL");
    await service.exited;
  });
  return service;
}

function clientsOf(url: string) {
  const transport: Transport = createGrpcTransport({ baseUrl: url });
  return { health: createClient(Health, transport), models: createClient(ModelService, transport) };
}

async function statuses(url: string): Promise<number[]> {
  const { health } = clientsOf(url);
  return Promise.all(WATCHED.map(async (service) => (await health.check({ service })).status));
}

describe("the life of the service", () => {
  it("ends on SIGTERM with everything it started, and starts again with what it had", async () => {
    const data = await temporaryFolder();
    const first = await start(data);
    await clientsOf(first.url).models.createModel({
      model: { id: "kept", type: 1, source: { kind: { case: "upload", value: {} } } },
    });
    expect(processesBelow(data).length).toBeGreaterThan(0);
    first.kill("SIGTERM");
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(processesBelow(data)).toEqual([]);
    const second = await start(data);
    expect((await clientsOf(second.url).models.getModel({ modelRef: "kept" })).model?.id).toBe("kept");
  });

  it("turns NOT_SERVING and ends streams with UNAVAILABLE before it closes", async () => {
    const service = await start(await temporaryFolder());
    const { health } = clientsOf(service.url);
    const seen: number[] = [];
    const watch = (async () => {
      for await (const { status } of health.watch({ service: "" })) {
        seen.push(status);
        if (seen.length === 1) service.kill("SIGTERM");
      }
    })();
    await expect(watch).rejects.toMatchObject({ code: Code.Unavailable });
    expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING]);
    expect(await service.exited).toEqual({ code: 0, signal: null });
  });

  it("parks downloads also if a client's stuck stream takes all of the grace period", async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const url = origin.serve("/model.bin", Buffer.alloc(1000), { stallAfter: 100 });
    const service = await start(await temporaryFolder(), {
      MODEL_MANAGER_ALLOW_NETWORKS: "127.0.0.0/8",
      MODEL_MANAGER_SHUTDOWN_GRACE: "1s",
    });
    const { models } = clientsOf(service.url);
    const source = { kind: { case: "http" as const, value: { files: [{ url }] } } };
    await models.createModel({ model: { id: "slow", type: 1, source } });
    const { download } = await models.startDownload({ modelId: "slow" });
    await origin.requested("/model.bin");
    const session = http2.connect(service.url, { settings: { initialWindowSize: 0 } });
    onTestFinished(() => session.destroy());
    session.on("error", () => {});
    const stream = session.request({
      ":method": "POST",
      ":path": "/modelmanager.v1.ModelService/WatchDownload",
      "content-type": "application/grpc",
    });
    stream.on("error", () => {});
    const message = toBinary(
      WatchDownloadRequestSchema,
      create(WatchDownloadRequestSchema, { downloadId: download?.id }),
    );
    stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
    await once(stream, "response");
    service.kill("SIGTERM");
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(service.output()).toContain("download parked");
    expect(service.output()).not.toContain("did not stop in time");
  });

  it("takes the two signals of one Ctrl-C under npm as one, and ends cleanly", async () => {
    const data = await temporaryFolder();
    const service = await start(data);
    service.kill("SIGINT");
    service.kill("SIGINT");
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(processesBelow(data)).toEqual([]);
  });

  it("exits at once on a second SIGTERM, and leaves no database behind", async () => {
    const data = await temporaryFolder();
    const service = await start(data, { MODEL_MANAGER_SHUTDOWN_GRACE: "60s" });
    const { hostname, port } = new URL(service.url);
    // A call whose body never comes holds the service for all of the grace.
    const caller = connect(Number(port), hostname);
    onTestFinished(() => void caller.destroy());
    caller.on("error", () => {});
    await once(caller, "connect");
    const path = "/modelmanager.v1.ModelService/ListModels";
    caller.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n`);
    await clientsOf(service.url).models.listModels({});
    service.kill("SIGTERM");
    await sleep(700);
    service.kill("SIGTERM");
    expect(await service.exited).toEqual({ code: 143, signal: null });
    await expect.poll(() => processesBelow(data), { timeout: 5000 }).toEqual([]);
  });

  it("refuses a folder that another process serves", async () => {
    const data = await temporaryFolder();
    await start(data);
    const { code, output } = await runRefusedService({ MODEL_MANAGER_DATA: data });
    expect(code).toBe(1);
    expect(output).toMatch(/another process/i);
  });

  it("refuses to listen beyond loopback without a token, and serves with one", async () => {
    const data = await temporaryFolder();
    const refused = await runRefusedService({ MODEL_MANAGER_DATA: data, MODEL_MANAGER_HOST: "0.0.0.0" });
    expect(refused.code).not.toBe(0);
    expect(refused.output).toMatch(/MODEL_MANAGER_TOKEN/);
    const token = "a-token-of-some-length";
    const service = await start(data, { MODEL_MANAGER_HOST: "0.0.0.0", MODEL_MANAGER_TOKEN: token });
    const { models } = clientsOf(service.url.replace("0.0.0.0", "127.0.0.1"));
    await expectError(models.listModels({}), Code.Unauthenticated, "UNAUTHENTICATED");
    const headers = { authorization: `Bearer ${token}` };
    expect((await models.listModels({}, { headers })).totalSize).toBe(0n);
    expect(service.output()).not.toContain(token);
  });

  it("says UNAVAILABLE while the database is away, stays alive, and comes back with it", async () => {
    const data = await temporaryFolder();
    const service = await start(data);
    const { models } = clientsOf(service.url);
    const stopped = processesBelow(data).filter((pid) => pid !== service.pid);
    for (const pid of stopped) process.kill(pid, "SIGSTOP");
    onTestFinished(() => stopped.forEach((pid) => void tryKill(pid, "SIGCONT")));
    await expectError(models.listModels({}), Code.Unavailable, "DATABASE_UNAVAILABLE");
    const { NOT_SERVING, SERVING } = Status;
    await expect
      .poll(() => statuses(service.url), { timeout: 10_000 })
      .toEqual([NOT_SERVING, NOT_SERVING, NOT_SERVING, SERVING]);
    for (const pid of stopped) tryKill(pid, "SIGCONT");
    await expect.poll(() => statuses(service.url), { timeout: 10_000 }).toEqual(WATCHED.map(() => SERVING));
    expect((await models.listModels({})).totalSize).toBe(0n);
  });

  it("brings back a database that was killed", async () => {
    const data = await temporaryFolder();
    const service = await start(data);
    const { models } = clientsOf(service.url);
    for (const pid of processesBelow(data)) if (pid !== service.pid) tryKill(pid, "SIGKILL");
    await expect.poll(() => models.listModels({}).then(({ totalSize }) => totalSize), { timeout: 15_000 }).toBe(0n);
  }, 40_000);

  it("says that models cannot be served while the store is away, and workers can", async () => {
    const data = await temporaryFolder();
    const service = await start(data);
    await rename(join(data, "store"), join(data, "away"));
    const { NOT_SERVING, SERVING } = Status;
    await expect
      .poll(() => statuses(service.url), { timeout: 10_000 })
      .toEqual([SERVING, NOT_SERVING, SERVING, SERVING]);
    await rename(join(data, "away"), join(data, "store"));
    await expect.poll(() => statuses(service.url), { timeout: 10_000 }).toEqual(WATCHED.map(() => SERVING));
  });
});

function tryKill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}
