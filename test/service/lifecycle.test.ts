import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
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
import { createAuthority } from "../support/certificates.ts";
import { createDataFolder } from "../support/data-folder.ts";
import { startOrigin } from "../support/origin.ts";
import { processesBelow } from "../support/processes.ts";
import { runRefusedService, type ServiceProcess, startServiceProcess } from "../support/service-process.ts";

const WATCHED = ["", "modelmanager.v1.ModelService", "modelmanager.v1.WorkerService", "liveness"];

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "model-manager-life-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function dataFolder(): Promise<string> {
  const folder = await createDataFolder();
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Ends with the test, also one that runs out of time before the service listens. */
const endWithTest = (process: Pick<ServiceProcess, "kill" | "exited">) =>
  onTestFinished(async () => {
    process.kill("SIGKILL");
    await process.exited;
  });

function start(data: string, environment = {}, runner: readonly string[] = []): Promise<ServiceProcess> {
  return startServiceProcess({ MODEL_MANAGER_DATA: data, ...environment }, { onSpawn: endWithTest, runner });
}

function refused(data: string, environment = {}): Promise<{ code: number | null; output: string }> {
  return runRefusedService({ MODEL_MANAGER_DATA: data, ...environment }, { onSpawn: endWithTest });
}

function clientsOf(url: string) {
  const transport: Transport = createGrpcTransport({ baseUrl: url });
  return { health: createClient(Health, transport), models: createClient(ModelService, transport) };
}

async function statuses(url: string): Promise<number[]> {
  const { health } = clientsOf(url);
  return Promise.all(WATCHED.map(async (service) => (await health.check({ service })).status));
}

// A start makes a database, which takes its time on a busy machine.
describe("the life of the service", { timeout: 90_000 }, () => {
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
    const service = await start(await dataFolder());
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
    const service = await start(await dataFolder(), {
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
    expect(service.output()).toContain("download released");
    expect(service.output()).not.toContain("did not stop in time");
  });

  it("takes the two signals of one Ctrl-C under npm as one, and ends cleanly", async () => {
    const data = await dataFolder();
    const service = await start(data);
    service.kill("SIGINT");
    service.kill("SIGINT");
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(processesBelow(data)).toEqual([]);
  });

  it("ends with the shell that npx puts around it", async () => {
    const data = await dataFolder();
    const shell = await start(data, { npm_command: "exec" }, ["sh", "-c", '"$@"; true', "sh"]);
    expect(processesBelow(data).length).toBeGreaterThan(0);
    shell.kill("SIGTERM");
    expect(await shell.exited).toEqual({ code: null, signal: "SIGTERM" });
    await expect.poll(() => processesBelow(data), { timeout: 10_000 }).toEqual([]);
  });

  it("exits at once on a second SIGTERM, and leaves no database behind", async () => {
    const data = await dataFolder();
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

  it("names the folder, the variable and the system's word if its data cannot be kept there", async () => {
    const folder = await temporaryFolder();
    const file = join(folder, "file");
    await writeFile(file, "");
    for (const [variable, environment] of [
      ["MODEL_MANAGER_DATA", {}],
      ["MODEL_MANAGER_STORE", { MODEL_MANAGER_DATA: folder, MODEL_MANAGER_STORE: file }],
    ] as const) {
      const { code, output } = await refused(file, environment);
      expect(code).toBe(1);
      const path = variable === "MODEL_MANAGER_DATA" ? join(file, "store") : file;
      expect(output).toContain(`${variable}: ${path}: the store's disk cannot be used: ENOTDIR: not a directory`);
    }
  });

  it("names the variable and the file if TLS cannot be had of it", async () => {
    const folder = await temporaryFolder();
    const [one, two] = [createAuthority("one").issue("one"), createAuthority("two").issue("two")];
    const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    const environment = { MODEL_MANAGER_TLS_CERT: cert, MODEL_MANAGER_TLS_KEY: key };
    await writeFile(key, two.key);
    const missing = await refused(folder, environment);
    expect(missing.output).toContain(`MODEL_MANAGER_TLS_CERT: ${cert}: ENOENT: no such file or directory`);
    await writeFile(cert, "nothing of the kind");
    const bad = await refused(folder, environment);
    expect(bad.output).toContain(`MODEL_MANAGER_TLS_CERT: ${cert}: must be a PEM file with a certificate`);
    await writeFile(cert, one.cert);
    const strange = await refused(folder, environment);
    expect(strange.output).toContain(`MODEL_MANAGER_TLS_KEY: ${key}: is not the key of the certificate in ${cert}`);
    expect([missing.code, bad.code, strange.code]).toEqual([1, 1, 1]);
  });

  it("ends if its database does not have it, and says so without the password", async () => {
    const [data, other] = [await dataFolder(), await dataFolder()];
    await start(other);
    const socket = encodeURIComponent(join(other, "postgres", "run"));
    const url = `postgres://postgres:s3cr3t-password@${socket}/nowhere`;
    const { code, output } = await refused(data, { DATABASE_URL: url });
    expect(code).toBe(1);
    expect(output).toMatch(/database "nowhere" at \S+: database "nowhere" does not exist \(3D000\)/);
    expect(output).not.toContain("s3cr3t-password");
  });

  it("refuses a folder that another process serves", async () => {
    const data = await dataFolder();
    await start(data);
    const { code, output } = await refused(data);
    expect(code).toBe(1);
    expect(output).toContain(`MODEL_MANAGER_DATA: ${data}: another process serves this data folder`);
  });

  it("refuses to listen beyond loopback without a token, and serves with one", async () => {
    const data = await dataFolder();
    const { code, output } = await refused(data, { MODEL_MANAGER_HOST: "0.0.0.0" });
    expect(code).not.toBe(0);
    expect(output).toMatch(/MODEL_MANAGER_TOKEN/);
    const token = "a-token-of-some-length";
    const service = await start(data, { MODEL_MANAGER_HOST: "0.0.0.0", MODEL_MANAGER_TOKEN: token });
    const { models } = clientsOf(service.url.replace("0.0.0.0", "127.0.0.1"));
    await expectError(models.listModels({}), Code.Unauthenticated, "UNAUTHENTICATED");
    const headers = { authorization: `Bearer ${token}` };
    expect((await models.listModels({}, { headers })).totalSize).toBe(0n);
    expect(service.output()).not.toContain(token);
  });

  it("says UNAVAILABLE while the database is away, stays alive, and comes back with it", async () => {
    const data = await dataFolder();
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
    const data = await dataFolder();
    const service = await start(data);
    const { models } = clientsOf(service.url);
    for (const pid of processesBelow(data)) if (pid !== service.pid) tryKill(pid, "SIGKILL");
    await expect.poll(() => models.listModels({}).then(({ totalSize }) => totalSize), { timeout: 15_000 }).toBe(0n);
  });

  it("says that models cannot be served while the store is away, and workers can", async () => {
    const data = await dataFolder();
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
