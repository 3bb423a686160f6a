import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import os from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createModelManagerClient } from "../../src/client/index.ts";
import { createAuthority } from "../support/certificates.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { type CliResult, type RunningCli, runCli, startCli } from "./run-cli.ts";

const BYTES = Buffer.from("the weights of a very small model");
const STARTED = /listens on (https?:\S+)/;

let folder: string;
let origin: TestOrigin;
const running = new Set<RunningCli>();

beforeAll(async () => {
  folder = await mkdtemp(join(os.tmpdir(), "model-manager-test-"));
  origin = await startOrigin();
});

afterEach(async () => {
  for (const { child, result } of running) {
    child.kill("SIGKILL");
    await result;
  }
  running.clear();
});

afterAll(async () => {
  await origin.close();
  await rm(folder, { recursive: true, force: true });
});

/** Starts the service as an operator does; all of this file's runs share a data folder. */
function serve(env: Record<string, string> = {}): RunningCli {
  const own = {
    MODEL_MANAGER_DATA: join(folder, "data"),
    MODEL_MANAGER_PORT: "0",
    MODEL_MANAGER_ALLOW_NETWORKS: "127.0.0.0/8",
  };
  const cli = startCli(["serve"], { env: { ...own, ...env } });
  running.add(cli);
  return cli;
}

async function started(cli: RunningCli): Promise<string> {
  const [, url = ""] = await cli.seen(STARTED);
  return url;
}

function stop({ child, result }: RunningCli): Promise<CliResult> {
  child.kill("SIGTERM");
  return result;
}

describe("serve", () => {
  it("carries the whole command line", async () => {
    const service = serve();
    const url = await started(service);
    const cli = (...args: string[]) => runCli(args, { env: { MODEL_MANAGER_SERVER: url } });

    const pulled = await cli("pull", origin.serve("/tiny.gguf", BYTES));
    expect(pulled).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^tiny@1 is ready: 33 B in 1 file, verified/),
    });
    const again = await cli("pull", origin.serve("/tiny.gguf", BYTES), "--quiet");
    expect(again).toEqual({ code: 0, stdout: "tiny@1\n", stderr: "" });

    expect((await cli("ls")).stdout).toMatch(/^tiny +LLM +AVAILABLE +1 /m);
    const listed = JSON.parse((await cli("ls", "--filter", "type = LLM", "--json")).stdout);
    expect(listed).toMatchObject({ models: [{ id: "tiny", status: "MODEL_STATUS_AVAILABLE" }], totalSize: 1 });
    expect((await cli("show", "tiny@1")).stdout).toMatch(/^tiny\.gguf +33 B +sha256:[0-9a-f]{64}$/m);

    const { downloads } = JSON.parse((await cli("downloads", "--json")).stdout);
    expect(downloads).toMatchObject([{ state: "DOWNLOAD_STATE_SUCCEEDED" }, { state: "DOWNLOAD_STATE_SUCCEEDED" }]);
    expect(await cli("downloads", "watch", downloads[0].id, "-q")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect((await cli("downloads", "cancel", downloads[0].id)).code).toBe(1);

    const client = createModelManagerClient(url);
    await client.workers.registerWorker({ worker: { id: "w1" } });
    await client.workers.assignModel({ modelRef: "tiny", workerId: "w1" });
    client.close();
    expect((await cli("workers")).stdout).toMatch(/^w1 +ONLINE/m);
    expect((await cli("workers", "show", "w1")).stdout).toMatch(/^tiny@1 +SERVING +PENDING/m);

    const refused = await cli("rm", "tiny");
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("--force cancels its downloads") });
    expect((await cli("rm", "tiny", "--force")).code).toBe(0);
    expect((await cli("show", "tiny")).code).toBe(3);
    expect((await cli("workers", "rm", "w1")).code).toBe(0);
    expect((await cli("workers", "show", "w1")).code).toBe(3);
    expect((await cli("ls", "--filter", "type =")).code).toBe(2);

    expect(await cli("health")).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\(all of it\) +SERVING$/m) });
    expect((await cli("health", "liveness")).code).toBe(0);
    expect((await cli("health", "nothing")).code).toBe(3);

    const stopped = await stop(service);
    expect(stopped.code).toBe(0);
    expect((await cli("health")).code).toBe(4);
  }, 240_000);

  it("says where it listens and what to try, and logs beside it", async () => {
    const service = serve({ MODEL_MANAGER_LOG_FORMAT: "json", MODEL_MANAGER_SERVICE_HOST: "10.0.0.1" });
    const url = await started(service);
    const { code, stdout, stderr } = await stop(service);
    expect(code).toBe(0);
    expect(stdout).toContain(`npx model-manager ls --server ${url}\n`);
    expect(stdout).toContain(`curl ${url}/health`);
    const lines = stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: "warn",
        message: expect.stringContaining("MODEL_MANAGER_SERVICE_HOST is ignored"),
      }),
    );
    expect(lines.at(-1)).toMatchObject({ level: "info", message: "stopped" });
  }, 60_000);

  it("is reached over TLS with an authority and a certificate of one's own", async () => {
    const authority = createAuthority("own");
    const [host, person] = [authority.issue("host"), authority.issue("person")];
    const files = { ca: authority.cert, cert: host.cert, key: host.key, mine: person.cert, secret: person.key };
    const path = (name: keyof typeof files) => join(folder, `${name}.pem`);
    for (const [name, pem] of Object.entries(files)) await writeFile(path(name as keyof typeof files), pem);
    const service = serve({
      MODEL_MANAGER_TLS_CERT: path("cert"),
      MODEL_MANAGER_TLS_KEY: path("key"),
      MODEL_MANAGER_TLS_CLIENT_CA: path("ca"),
    });
    const url = await started(service);
    expect(url).toMatch(/^https:/);
    const ls = (args: string[], env: Record<string, string> = {}) => runCli(["ls", "--server", url, ...args], { env });

    const stranger = await ls([]);
    expect(stranger.code).toBe(4);
    expect(stranger.stderr).toMatch(/cannot speak TLS .*\n.*trusted with --ca/);
    expect((await ls(["--ca", path("ca")])).code).toBe(4);
    expect((await ls(["--ca", path("ca"), "--cert", path("mine"), "--key", path("secret")])).code).toBe(0);
    const environment = {
      MODEL_MANAGER_SERVER_CA: path("ca"),
      MODEL_MANAGER_CLIENT_CERT: path("mine"),
      MODEL_MANAGER_CLIENT_KEY: path("secret"),
    };
    expect((await ls([], environment)).code).toBe(0);
    expect((await ls(["--cert", path("mine")])).code).toBe(2);
    const missing = await ls([], { MODEL_MANAGER_SERVER_CA: "/nowhere/ca.pem" });
    expect(missing).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("MODEL_MANAGER_SERVER_CA: /nowhere/ca.pem"),
    });
  }, 60_000);

  it("ends at once with the second signal", async () => {
    const service = serve({ MODEL_MANAGER_SHUTDOWN_GRACE: "1m" });
    const { port } = new URL(await started(service));
    // A call whose request never comes to its end is one that the service waits for.
    const socket = connect(Number(port), "127.0.0.1");
    socket.on("error", () => {});
    const head = "POST /modelmanager.v1.ModelService/GetModel HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
    socket.write(`${head}\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n`);
    await once(socket, "data");
    service.child.kill("SIGTERM");
    await service.seen(/a second signal ends it at once/);
    // Sooner it would count as the same wish.
    await sleep(700);
    service.child.kill("SIGTERM");
    expect((await service.result).code).toBe(143);
    socket.destroy();
  }, 60_000);

  it("refuses a data folder that is in use, and a port that is: 1", async () => {
    const first = serve();
    await started(first);
    const second = await serve().result;
    expect(second).toMatchObject({ code: 1, stdout: "" });
    expect(second.stderr).toMatch(/^ {2}MODEL_MANAGER_DATA: .*another process/m);

    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" ? String(address?.port) : "";
    expect((await stop(first)).code).toBe(0);
    const third = await serve({ MODEL_MANAGER_PORT: port }).result;
    expect(third).toMatchObject({ code: 1, stdout: "" });
    expect(third.stderr).toContain(`error: cannot listen on 127.0.0.1:${port}`);
    taken.close();
  }, 60_000);
});
