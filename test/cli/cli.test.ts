import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import os from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { DownloadProgressSchema, DownloadState, FileState } from "../../gen/modelmanager/v1/download_pb.ts";
import type { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { followDownload } from "../../src/cli/follow-download.ts";
import type { ModelManagerClient } from "../../src/client/index.ts";
import { DomainError } from "../../src/domain/errors.ts";
import { type RpcServer, startRpcServer } from "../support/rpc-server.ts";
import { runCli, startCli } from "./run-cli.ts";

const DOWNLOAD = "01890a5d-ac96-774b-bcce-b302099a8057";
const FILES = [{ path: "model.gguf", state: FileState.TRANSFERRING, completedBytes: 512n, totalBytes: 1024n }];
const HALF = {
  downloadId: DOWNLOAD,
  state: DownloadState.TRANSFERRING,
  completedBytes: 512n,
  totalBytes: 1024n,
  totalFiles: 1,
  files: FILES,
};
const DONE = { ...HALF, state: DownloadState.SUCCEEDED, completedBytes: 1024n, completedFiles: 1, version: 1 };

let server: RpcServer | undefined;

afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** A port with a service of the test's own behind it: what the command line must cope with cannot all be had of a real one. */
async function serve(
  models: Partial<ServiceImpl<typeof ModelService>>,
  options: Parameters<typeof startRpcServer>[1] = {},
): Promise<Record<string, string>> {
  server = await startRpcServer(models, options);
  return { MODEL_MANAGER_SERVER: server.url };
}

/** A way to the port that can break. */
async function breakable(env: Record<string, string>) {
  const { hostname, port } = new URL(env.MODEL_MANAGER_SERVER ?? "");
  const sockets = new Set<Socket>();
  const proxy = createServer((incoming) => {
    const outgoing = connect(Number(port), hostname);
    for (const socket of [incoming, outgoing]) sockets.add(socket.on("error", () => {}));
    incoming.pipe(outgoing).pipe(incoming);
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(() => {
    cut();
    proxy.close();
  });
  return { env: { MODEL_MANAGER_SERVER: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` }, cut };
}

const createModel: ServiceImpl<typeof ModelService>["createModel"] = ({ model }) => ({ model });

describe("a command", () => {
  it.each([
    [["bogus"], /unknown command 'bogus'/],
    [["ls", "--bogus"], /unknown option '--bogus'/],
    [["show"], /missing required argument 'model'/],
    [["ls", "--server", "ftp://x"], /must be an http or https URL/],
    [["pull", "hf:a/b", "--type", "toaster"], /Allowed choices are llm, embedding/],
    [["pull", "./nothing"], /no such file or folder/],
    [["export", "a", "/nowhere/a.tar"], /there is no folder \/nowhere/],
    [["export", "a", "a.zip"], /a bundle is a folder, or a file whose name ends with \.tar/],
  ])("%j breaks a rule of the command line: 2", async (args, message) => {
    const { code, stdout, stderr } = await runCli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });

  it("that nobody answers says so, and what to do: 4", async () => {
    server = await startRpcServer();
    const { url } = server;
    await server.close();
    server = undefined;
    const { code, stderr } = await runCli(["ls", "--server", url]);
    expect(code).toBe(4);
    expect(stderr).toContain(`cannot reach the model manager at ${url}`);
    expect(stderr).toContain("is it running? start it with: npm start");
    expect((await runCli(["health", "--server", url])).code).toBe(4);
  });

  it("whose connection breaks says so, and so does one that speaks TLS to a port in clear: 4", async () => {
    const env = await serve({
      getModel: () => {
        way.cut();
        return {};
      },
    });
    const way = await breakable(env);
    const broken = await runCli(["show", "x"], { env: way.env });
    expect(broken).toMatchObject({ code: 4, stdout: "" });
    expect(broken.stderr).toMatch(/^error: lost the connection to the model manager at http:\S+\n {2}is it running\?/);
    const https = await runCli(["ls", "--server", server?.url.replace("http:", "https:") ?? ""]);
    expect(https).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("cannot speak TLS with the model manager"),
    });
  });

  it("lets no control character of others through to the terminal", async () => {
    const name = "a\u001b[2J\u009b1m";
    const env = await serve({
      getModel: () => {
        throw new DomainError("MODEL_NOT_FOUND", `there is no model '${name}'`);
      },
      listModels: () => ({ models: [{ id: "a", displayName: name }], totalSize: 1n }),
    });
    const { stderr } = await runCli(["show", "x"], { env });
    expect(stderr).toMatch(/^error: there is no model 'a\ufffd\[2J\ufffd1m'\n/);
    const { stdout } = await runCli(["ls", "--json"], { env });
    expect(stdout).toContain("\\u009b");
    expect(JSON.parse(stdout).models[0].displayName).toBe(name);
  });

  it("for what is not there says where to look: 3; as JSON for scripts", async () => {
    const env = await serve({
      getModel: () => {
        throw new DomainError("MODEL_NOT_FOUND", "there is no model 'x'");
      },
    });
    const people = await runCli(["show", "x"], { env });
    expect(people).toMatchObject({ code: 3, stdout: "" });
    expect(people.stderr).toBe("error: there is no model 'x'\n  see which models there are: npx model-manager ls\n");
    const script = await runCli(["show", "x", "--json"], { env });
    expect(script).toMatchObject({ code: 3, stdout: "" });
    expect(JSON.parse(script.stderr)).toMatchObject({
      error: { exitCode: 3, code: "NOT_FOUND", reason: "MODEL_NOT_FOUND", message: "there is no model 'x'" },
    });
  });

  it("with a bad value says the field and the rule: 2", async () => {
    const env = await serve({ getModel: () => ({}) });
    const { code, stderr } = await runCli(["show", "../x"], { env });
    expect(code).toBe(2);
    expect(stderr).toMatch(/model_ref: must be a model id/);
  });

  it("proves itself with the token of the environment or of the option", async () => {
    const env = await serve({ listModels: () => ({ models: [] }) }, { token: "s3cr3t" });
    const refused = await runCli(["ls"], { env });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("set MODEL_MANAGER_TOKEN");
    expect((await runCli(["ls"], { env: { ...env, MODEL_MANAGER_TOKEN: "s3cr3t" } })).code).toBe(0);
    expect((await runCli(["ls", "--token", "s3cr3t"], { env })).code).toBe(0);
  });

  it("reads a .env file in development only", async () => {
    const env = await serve({ listModels: () => ({ models: [{ id: "a" }], totalSize: 1n }) });
    const cwd = await mkdtemp(join(os.tmpdir(), "model-manager-test-"));
    try {
      await writeFile(join(cwd, ".env"), `MODEL_MANAGER_SERVER=${env.MODEL_MANAGER_SERVER}\n`);
      expect((await runCli(["ls"], { cwd })).code).toBe(0);
      const elsewhere = { MODEL_MANAGER_SERVER: "http://127.0.0.1:1" };
      expect((await runCli(["ls"], { cwd, env: elsewhere })).code).toBe(4);
      const { stdout } = await runCli(["serve", "--print-config"], { cwd, env: { NODE_ENV: "production" } });
      expect(stdout).toContain("MODEL_MANAGER_SERVER=http://127.0.0.1:8085\n");
    } finally {
      await rm(cwd, { recursive: true });
    }
  });

  it("prints its configuration, or every mistake in it: 2", async () => {
    const good = await runCli(["serve", "--print-config"], { env: { MODEL_MANAGER_TOKEN: "s3cr3t" } });
    expect(good.code).toBe(0);
    expect(good.stdout).toContain("MODEL_MANAGER_TOKEN=(redacted)\n");
    const bad = await runCli(["serve"], { env: { MODEL_MANAGER_PROT: "1", MODEL_MANAGER_HOST: "0.0.0.0" } });
    expect(bad.code).toBe(2);
    expect(bad.stderr).toMatch(/MODEL_MANAGER_PROT: is not a variable .* did you mean MODEL_MANAGER_PORT/);
    expect(bad.stderr).toMatch(/MODEL_MANAGER_TOKEN: must be set, since MODEL_MANAGER_HOST is 0.0.0.0/);
  });

  it("reads lists to their end", async () => {
    const env = await serve({
      listModels: ({ pageToken }) =>
        pageToken === ""
          ? { models: [{ id: "a" }], nextPageToken: "more", totalSize: 2n }
          : { models: [{ id: "b" }], totalSize: 2n },
    });
    const { stdout } = await runCli(["ls", "--json"], { env });
    expect(JSON.parse(stdout)).toMatchObject({ models: [{ id: "a" }, { id: "b" }], totalSize: 2 });
  });
});

describe("pull", () => {
  it("registers the model, shows the progress in plain lines, and says what came", async () => {
    const seen: unknown[] = [];
    const env = await serve({
      createModel: ({ model }) => {
        seen.push({ id: model?.id, type: model?.type, source: model?.source?.kind.value });
        return { model };
      },
      async *downloadModel(request) {
        const { modelId, revision, allowPatterns, ignorePatterns } = request;
        seen.push({ modelId, revision, allowPatterns, ignorePatterns });
        yield { progress: { ...HALF, state: DownloadState.QUEUED } };
        yield { progress: HALF };
        yield { progress: DONE };
      },
    });
    const patterns = ["--include", "*.gguf", "--include", "*.json", "--exclude", "old/*", "--metadata-only"];
    const { code, stdout, stderr } = await runCli(["pull", "hf:org/name@v1", ...patterns], { env });
    expect(code).toBe(0);
    expect(seen).toMatchObject([
      { id: "org/name", type: 1, source: { repo: "org/name", revision: "" } },
      { modelId: "org/name", revision: "v1", allowPatterns: ["*.gguf", "*.json"] },
    ]);
    const { ignorePatterns } = seen[1] as { ignorePatterns: string[] };
    expect(ignorePatterns).toEqual(expect.arrayContaining(["old/*", "*.safetensors", "*.gguf", "*.bin"]));
    expect(stderr).toContain("pulling org/name from hf:org/name\n");
    expect(stderr).toMatch(/transferring +\[#{10}-{10}\] +50% +512 B of 1.0 KiB/);
    expect(stdout).toMatch(/^org\/name@1 is ready: 1.0 KiB in 1 file, verified, in /);
  });

  it("asks the own source of a model that is registered, and says how to name a repository where none is", async () => {
    const asked: unknown[] = [];
    const env = await serve({
      getModel: ({ modelRef }) => {
        if (modelRef !== "org/mine") throw new ConnectError("there is no such model", Code.NotFound);
        return { model: { id: modelRef } };
      },
      async *downloadModel({ modelId, revision }) {
        asked.push({ modelId, revision });
        yield { progress: DONE };
      },
    });
    expect(await runCli(["pull", "org/mine", "-q"], { env })).toEqual({ code: 0, stdout: "org/mine@1\n", stderr: "" });
    expect(asked).toEqual([{ modelId: "org/mine", revision: "" }]);
    const unknown = await runCli(["pull", "nowhere/nothing"], { env });
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/say hf:nowhere\/nothing/);
  });

  it("is silent but for the version with --quiet, and JSON lines with --json", async () => {
    const env = await serve({
      createModel,
      async *downloadModel() {
        yield { progress: HALF };
        yield { progress: DONE };
      },
    });
    const source = "https://example.com/tiny.gguf";
    expect(await runCli(["pull", source, "-q"], { env })).toEqual({ code: 0, stdout: "tiny@1\n", stderr: "" });
    const { code, stdout, stderr } = await runCli(["pull", source, "--json"], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { progress: { state: "DOWNLOAD_STATE_TRANSFERRING", completedBytes: "512", files: [{ path: "model.gguf" }] } },
      { progress: { state: "DOWNLOAD_STATE_SUCCEEDED", version: 1 } },
    ]);
  });

  it("sends the source's token to the service as a credential, and the service's own as authorization", async () => {
    const seen: unknown[] = [];
    const env = await serve(
      {
        createModel,
        async *downloadModel({ credential }, { requestHeader }) {
          seen.push(credential?.kind.value, requestHeader.get("authorization"));
          yield { progress: DONE };
        },
      },
      { token: "service-token" },
    );
    const withToken = { ...env, MODEL_MANAGER_TOKEN: "service-token" };
    expect(await runCli(["pull", "hf:a/b", "-q", "--source-token", "hf_source"], { env: withToken })).toEqual({
      code: 0,
      stdout: "a/b@1\n",
      stderr: "",
    });
    expect(seen).toEqual(["hf_source", "Bearer service-token"]);
  });

  it("leaves a model with that id and another source alone: 1", async () => {
    const source = { kind: { case: "huggingface" as const, value: { repo: "other/name" } } };
    const env = await serve({
      createModel: () => {
        throw new DomainError("MODEL_EXISTS", "the model 'mine' exists");
      },
      getModel: () => ({ model: { id: "mine", source } }),
      async *downloadModel() {
        yield { progress: DONE };
      },
    });
    const other = await runCli(["pull", "hf:org/name", "--id", "mine"], { env });
    expect(other.code).toBe(1);
    expect(other.stderr).toContain("the model mine exists and comes from hf:other/name");
    expect(other.stderr).toContain("choose another id with --id");
    expect((await runCli(["pull", "hf:other/name", "--id", "mine", "-q"], { env })).stdout).toBe("mine@1\n");
  });

  it("tells why a download failed: 1", async () => {
    const env = await serve({
      createModel,
      async *downloadModel() {
        yield { progress: HALF };
        yield { progress: { ...HALF, state: DownloadState.FAILED } };
        throw new DomainError("SOURCE_FORBIDDEN", "the source refuses (401)");
      },
    });
    const { code, stdout, stderr } = await runCli(["pull", "hf:a/b"], { env });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(
      "error: the source refuses (401)\n  if the source wants a token, give it with --source-token",
    );
  });

  it.each(["SIGINT", "SIGTERM"] as const)(
    "on %s leaves the download alone, and says how to go on: 130",
    async (signal) => {
      const left = Promise.withResolvers<void>();
      const env = await serve({
        createModel,
        async *downloadModel(_request, call) {
          call.signal.addEventListener("abort", () => left.resolve());
          yield { progress: HALF };
          await left.promise;
        },
      });
      const cli = startCli(["pull", "hf:a/b"], { env });
      await cli.seen(/transferring/);
      cli.child.kill(signal);
      const { code, stderr } = await cli.result;
      expect(code).toBe(130);
      expect(stderr).toContain("the download goes on");
      expect(stderr).toContain(`npx model-manager downloads watch ${DOWNLOAD}`);
      expect(stderr).toContain(`npx model-manager downloads cancel ${DOWNLOAD}`);
      await left.promise;
    },
  );

  it("watches on when the connection broke, and the service comes back", async () => {
    const watched: string[] = [];
    const env = await serve({
      createModel,
      async *downloadModel() {
        yield { progress: HALF };
        await new Promise(() => {});
      },
      async *watchDownload({ downloadId }) {
        watched.push(downloadId);
        if (watched.length === 1) throw new DomainError("DATABASE_UNAVAILABLE", "the database cannot be reached");
        yield { progress: DONE };
      },
    });
    const way = await breakable(env);
    const cli = startCli(["pull", "hf:a/b"], { env: way.env });
    await cli.seen(/transferring/);
    way.cut();
    const { code, stdout, stderr } = await cli.result;
    expect(code).toBe(0);
    expect(watched).toEqual([DOWNLOAD, DOWNLOAD]);
    expect(
      stderr.match(/lost the connection to the service; the download goes on there once it is back/g),
    ).toHaveLength(1);
    expect(stdout).toContain("a/b@1 is ready");
  });

  it("gives up after a minute without the service, and says how to go on: 4", async () => {
    const away = async function* () {
      yield { progress: create(DownloadProgressSchema, HALF) };
      throw new ConnectError("stream closed", Code.Canceled);
    };
    const models = {
      async *watchDownload() {
        vi.setSystemTime(Date.now() + 61_000);
        yield* [];
        throw new ConnectError("connect ECONNREFUSED", Code.Unavailable);
      },
    };
    vi.useFakeTimers({ toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    const notes: string[] = [];
    const view = { update: () => {}, note: (text: string) => notes.push(text), end: () => {} };
    const client = { models } as unknown as ModelManagerClient;
    const following = followDownload(client, away(), view, new AbortController().signal);
    await expect(following).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining(
        "lost the connection to the service; the download goes on there once it is back",
      ),
      hint: expect.stringContaining(`npx model-manager downloads watch ${DOWNLOAD}`),
    });
    expect(notes).toHaveLength(1);
  });
});
