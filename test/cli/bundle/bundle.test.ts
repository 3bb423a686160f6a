import { execFile, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cp, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ModelType } from "../../../gen/modelmanager/v1/model_pb.ts";
import type { Version } from "../../../gen/modelmanager/v1/version_pb.ts";
import { openBlobTransfer } from "../../../src/cli/blob-transfer.ts";
import { exportBundle } from "../../../src/cli/bundle/export-bundle.ts";
import { importBundle } from "../../../src/cli/bundle/import-bundle.ts";
import { planExport } from "../../../src/cli/bundle/plan-export.ts";
import { writeFolder } from "../../../src/cli/bundle/write-folder.ts";
import { EXIT } from "../../../src/cli/exit-codes.ts";
import { run } from "../../../src/cli/run.ts";
import { createModelManagerClient, type ModelManagerClient } from "../../../src/client/connect.ts";
import { createAuthority } from "../../support/certificates.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { startHub, type TestHub } from "../../support/hub.ts";
import { startTestService, type TestService } from "../../support/service.ts";
import { type BreakingProxy, startBreakingProxy } from "./breaking-proxy.ts";
import { makeLayout, sha256, writeLayout } from "./make-layout.ts";

/** A service with a client of it, and a way to it that can break. */
interface Site extends ModelManagerClient {
  readonly service: TestService;
  readonly proxy: BreakingProxy;
  readonly database: TestDatabase;
  /** What proves to it who calls, and to the caller whom he calls. */
  readonly access: { readonly token?: string; readonly tls: { readonly ca?: string } };
}

const WEIGHTS = randomBytes(3_000_000);
const BIG = randomBytes(8_000_000);
const hasSkopeo = spawnSync("skopeo", ["--version"]).status === 0;
if (!hasSkopeo) console.warn("skopeo is not installed: what it reads is not tested");

let root: string;
let hub: TestHub;
/** With the internet, and without. */
let online: Site;
let offline: Site;

async function openSite(access: Site["access"] = { tls: {} }, environment = {}): Promise<Site> {
  const database = await createTestDatabase();
  const { user, host, port, database: name } = database.connection;
  const query = new URLSearchParams({ host, port: String(port) });
  const DATABASE_URL = `postgres://${user}@/${name}?${query}`;
  const service = await startTestService({ DATABASE_URL, ...environment });
  const proxy = await startBreakingProxy(Number(new URL(service.url).port));
  return { ...createModelManagerClient(service.url, access), service, proxy, database, access };
}

/** A site that speaks TLS and wants a token. */
async function openGuardedSite(): Promise<Site> {
  const authority = createAuthority("test authority");
  const files = { ...authority.issue("127.0.0.1"), ca: authority.cert };
  for (const [name, text] of Object.entries(files)) await writeFile(place(name), text);
  const token = randomBytes(16).toString("hex");
  return openSite(
    { token, tls: { ca: authority.cert } },
    { MODEL_MANAGER_TOKEN: token, MODEL_MANAGER_TLS_CERT: place("cert"), MODEL_MANAGER_TLS_KEY: place("key") },
  );
}

async function pull({ models }: Site, id: string, repo: string): Promise<Version> {
  const source = { kind: { case: "huggingface" as const, value: { repo, endpoint: hub.endpoint } } };
  const labels = { team: "search" };
  const model = { id, type: ModelType.EMBEDDING, displayName: "Tiny", description: "A model.", labels, source };
  await models.createModel({ model }).catch(() => {});
  for await (const _ of models.downloadModel({ modelId: id }));
  return versionOf(online, id);
}

async function versionOf({ models }: Site, modelRef: string): Promise<Version> {
  const { version } = await models.getModel({ modelRef });
  if (version === undefined) throw new Error(`${modelRef} has no version`);
  return version;
}

const hasModel = ({ models }: Site, modelRef: string) =>
  models.getModel({ modelRef }).then(
    () => true,
    () => false,
  );

/** What does not depend on where a version is. */
const contentOf = ({ manifestDigest, resolvedRevision, license, files, totalBytes }: Version) => ({
  manifestDigest,
  resolvedRevision,
  license,
  files,
  totalBytes,
});

/** Runs a command line against a site in this process. */
async function cli(
  { service, access }: Site,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((stream) =>
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      output[stream] += text;
      return true;
    }),
  );
  try {
    const guarded = access.token === undefined ? [] : ["--token", access.token, "--ca", place("ca")];
    const code = await run(["node", "model-manager", ...args, "--server", service.url, ...guarded]);
    return { code, ...output };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

const place = (name: string) => join(root, name);
/** Megabytes are not printed when they differ. */
const expectFile = async (path: string, bytes: Buffer) => expect((await readFile(path)).equals(bytes)).toBe(true);
const blobPath = (folder: string, bytes: Uint8Array) => join(folder, "blobs/sha256", sha256(bytes));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "bundles-"));
  [hub, online, offline] = await Promise.all([startHub(), openSite(), openGuardedSite()]);
  const files = { "model.safetensors": { bytes: WEIGHTS, lfs: true }, "README.md": Buffer.from("# Tiny\n") };
  hub.commit("org/tiny", { files: { ...files, "config.json": Buffer.from("{}") }, license: "mit" });
  await pull(online, "org/tiny", "org/tiny");
  const adapter = { bytes: randomBytes(100_000), lfs: true };
  hub.commit("org/tiny", {
    files: { ...files, "sub/adapter.safetensors": adapter, empty: Buffer.alloc(0) },
    license: "mit",
  });
  await pull(online, "org/tiny", "org/tiny");
  await online.models.setAlias({ modelId: "org/tiny", alias: "production", version: 2 });
  hub.commit("org/big", { files: { "model.gguf": { bytes: BIG, lfs: true } } });
  await pull(online, "big", "org/big");
});

afterAll(async () => {
  for (const site of [online, offline]) {
    site?.close();
    await site?.proxy.close();
    await site?.service.stop();
    await site?.database.drop();
  }
  await hub?.close();
  await rm(root, { recursive: true });
});

describe("from one site to another", () => {
  it("a bundle of what is new says what it lacks, and makes nothing without it", async () => {
    const exported = await cli(online, "export", "org/tiny@production", place("new"), "--since", "1", "--json");
    expect(JSON.parse(exported.stdout)).toMatchObject({ bytes: 100_000, omittedBytes: WEIGHTS.length + 7 });
    const { code, stderr } = await cli(offline, "import-bundle", place("new"));
    expect(code).toBe(EXIT.failure);
    expect(stderr).toMatch(
      /org\/tiny:production\/\S+: sha256:\w{64} is neither in the bundle nor in the service's store/,
    );
    expect(stderr).toContain("made with --since 1: import that version first");
    expect(await hasModel(offline, "org/tiny")).toBe(false);
  });

  it("a tar carries a version with all that is said of it", async () => {
    const { code, stdout } = await cli(online, "export", "org/tiny@1", place("one.tar"));
    expect({ code, stdout }).toEqual({
      code: EXIT.ok,
      stdout: `${place("one.tar")}: 1 version, 2.9 MiB\n  org/tiny@1  as org/tiny:1\n`,
    });
    const imported = await cli(offline, "import-bundle", place("one.tar"), "--json");
    expect(JSON.parse(imported.stdout)).toMatchObject({
      sentBytes: WEIGHTS.length + 9,
      totalBytes: WEIGHTS.length + 9,
    });
    const version = await versionOf(offline, "org/tiny");
    expect(contentOf(version)).toEqual(contentOf(await versionOf(online, "org/tiny@1")));
    expect(version).toMatchObject({ version: 1, license: "mit" });
    const [here, there] = await Promise.all(
      [offline, online].map(({ models }) => models.getModel({ modelRef: "org/tiny" })),
    );
    for (const field of ["type", "displayName", "description", "labels", "source"] as const) {
      expect(here?.model?.[field]).toEqual(there?.model?.[field]);
    }
  });

  it("the same bytes come out of the same version, there and back", async () => {
    await cli(online, "export", "org/tiny@1", place("again.tar"));
    await expectFile(place("again.tar"), await readFile(place("one.tar")));
    await cli(offline, "export", "org/tiny@1", place("back"));
    const [index] = JSON.parse(await readFile(join(place("back"), "index.json"), "utf8")).manifests;
    expect(index.annotations["modelmanager.v1.manifest_digest"]).toBe(
      (await versionOf(online, "org/tiny@1")).manifestDigest,
    );
  });

  it("what is there is not sent again, and no source is asked for it", async () => {
    const again = await cli(offline, "import-bundle", place("one.tar"), "--json");
    expect(JSON.parse(again.stdout)).toMatchObject({ sentBytes: 0, versions: [{ version: { version: 1 } }] });
    const asked = hub.cdn.requests.length;
    hub.commit("org/tiny", {
      files: { "model.safetensors": { bytes: WEIGHTS, lfs: true }, "README.md": Buffer.from("# New\n") },
    });
    for await (const _ of offline.models.downloadModel({ modelId: "org/tiny" }));
    expect((await versionOf(offline, "org/tiny")).version).toBe(2);
    expect(hub.cdn.requests.length).toBe(asked);
  });

  it("what is new comes after, with its aliases if they are wanted", async () => {
    const { code, stdout } = await cli(offline, "import-bundle", place("new"), "--aliases");
    expect({ code, stdout }).toMatchObject({ code: EXIT.ok, stdout: expect.stringContaining("4 files, production\n") });
    expect(contentOf(await versionOf(offline, "org/tiny@production"))).toEqual(
      contentOf(await versionOf(online, "org/tiny@2")),
    );
  });

  it("a model that is there keeps its source, and the difference is told", async () => {
    await offline.models.createModel({
      model: { id: "mine", type: ModelType.LLM, source: { kind: { case: "upload", value: {} } } },
    });
    const { code, stderr } = await cli(offline, "import-bundle", place("one.tar"), "--model", "mine");
    expect({ code, stderr }).toEqual({
      code: EXIT.ok,
      stderr: "warning: the model mine is there and keeps its source upload; in the bundle it is hf:org/tiny\n",
    });
    expect((await offline.models.getModel({ modelRef: "mine" })).model?.source?.kind.case).toBe("upload");
  });

  it("a layout that another program made becomes the model that is named", async () => {
    const folder = await writeLayout(place("foreign"), makeLayout());
    expect((await cli(offline, "import-bundle", folder)).code).toBe(EXIT.usage);
    expect((await cli(offline, "import-bundle", folder, "--model", "foreign", "--type", "other")).code).toBe(EXIT.ok);
    const { model, version } = await offline.models.getModel({ modelRef: "foreign" });
    expect(model?.type).toBe(ModelType.OTHER);
    expect(version?.files.map(({ path }) => path)).toEqual(["config.json", "model.gguf"]);
  });

  it.runIf(hasSkopeo)("skopeo reads both kinds, and what it writes is read", async () => {
    const skopeo = async (...args: string[]) => (await promisify(execFile)("skopeo", args)).stdout;
    const copy = (...args: string[]) => skopeo("--insecure-policy", "copy", "-q", ...args);
    await cli(online, "export", "org/tiny@production", "org/tiny@1", place("two"));
    const raw = await skopeo("inspect", "--raw", `oci:${place("two")}:org/tiny:production`);
    expect(JSON.parse(raw).artifactType).toBe("application/vnd.cncf.model.manifest.v1+json");
    await copy(`oci-archive:${place("one.tar")}:org/tiny:1`, `dir:${place("dir")}`);
    await expectFile(join(place("dir"), sha256(WEIGHTS)), WEIGHTS);
    await copy(`oci:${place("two")}:org/tiny:1`, `oci-archive:${place("theirs.tar")}:any:name`);
    const { stdout } = await cli(offline, "import-bundle", place("theirs.tar"), "--json");
    const { manifestDigest } = await versionOf(online, "org/tiny@1");
    expect(JSON.parse(stdout)).toMatchObject({
      sentBytes: 0,
      versions: [{ name: "any:name", version: { manifestDigest } }],
    });
  });
});

describe("what breaks", () => {
  const never = new AbortController().signal;
  const addressOf = ({ proxy, service, access }: Site) => ({
    server: `${new URL(service.url).protocol}//${proxy.address}`,
    ...access,
  });
  const exporting = (target: string, signal = never) =>
    exportBundle(online, addressOf(online), ["big"], place(target), { quiet: true }, signal);
  const importing = (bundle: string, signal = never) =>
    importBundle(offline, addressOf(offline), place(bundle), { type: "llm", quiet: true }, signal);
  /** Stops when the way breaks, as Ctrl-C would. */
  const untilBroken = async (
    { proxy }: Site,
    direction: "up" | "down",
    work: (signal: AbortSignal) => Promise<unknown>,
  ) => {
    const stop = new AbortController();
    void proxy.breakAfter(3_000_000, direction).then(() => stop.abort());
    await expect(work(stop.signal)).rejects.toThrow();
  };

  it("a connection that breaks in the middle is made up for", async () => {
    void online.proxy.breakAfter(3_000_000, "down");
    await exporting("big.tar");
    expect(await readdir(root)).not.toContain("big.tar.partial");
    await rm(place("big.tar"));
  });

  it("an export that is stopped leaves no tar, and a folder that it goes on with", async () => {
    await untilBroken(online, "down", (signal) => exporting("big.tar", signal));
    expect((await readdir(root)).filter((name) => name.startsWith("big"))).toEqual([]);
    const stop = new AbortController();
    const plan = await planExport(online, ["big"], undefined, never);
    const transfer = await openBlobTransfer(addressOf(online));
    const at = (_path: string, bytes: number) => bytes >= 3_000_000 && stop.abort();
    await expect(writeFolder(place("big"), plan, transfer, { at, done() {}, end() {} }, stop.signal)).rejects.toThrow();
    await transfer.close();
    expect(await readdir(place("big"))).not.toContain("index.json");
    const { fetchedBytes } = await exporting("big");
    expect(fetchedBytes).toBeGreaterThan(0);
    expect(fetchedBytes).toBeLessThan(BIG.length - 1_000_000);
    await expectFile(blobPath(place("big"), BIG), BIG);
    expect((await exporting("big")).fetchedBytes).toBe(0);
  });

  it("a disk without room is told, and left without the tar", async () => {
    await symlink("/dev/full", place("full.tar.partial"));
    await expect(exporting("full.tar")).rejects.toThrow(`${place("full.tar")}: there is no room left on its disk`);
    expect((await readdir(root)).filter((name) => name.startsWith("full"))).toEqual([]);
  });

  it("a blob that was damaged in the folder is fetched anew", async () => {
    await writeFile(blobPath(place("big"), BIG), randomBytes(BIG.length));
    expect((await exporting("big")).fetchedBytes).toBe(BIG.length);
    await expectFile(blobPath(place("big"), BIG), BIG);
  });

  it("a blob that is damaged, cut short or missing makes nothing", async () => {
    await cp(place("big"), place("damaged"), { recursive: true });
    const blob = blobPath(place("damaged"), BIG);
    const digest = `sha256:${sha256(BIG)}`;
    await writeFile(blob, randomBytes(BIG.length));
    await expect(importing("damaged")).rejects.toThrow(
      `big:1/model.gguf: its bytes in the bundle are not those of ${digest}`,
    );
    await truncate(blob, 1000);
    await expect(importing("damaged")).rejects.toThrow(`${digest} must have ${BIG.length} bytes, and has 1000`);
    await rm(blob);
    await expect(importing("damaged")).rejects.toThrow(`${digest} is neither in the bundle nor in the service's store`);
    expect(await hasModel(offline, "big")).toBe(false);
  });

  it("an import that is stopped makes nothing, and goes on where it was", async () => {
    await untilBroken(offline, "up", (signal) => importing("big", signal));
    expect(await hasModel(offline, "big")).toBe(false);
    void offline.proxy.breakAfter(1_000_000, "up");
    const { sentBytes } = await importing("big");
    expect(sentBytes).toBeGreaterThan(0);
    expect(sentBytes).toBeLessThan(BIG.length - 1_000_000);
    expect(contentOf(await versionOf(offline, "big"))).toEqual(contentOf(await versionOf(online, "big")));
  });

  it("a command line that names nothing says so by its exit code", async () => {
    expect(await cli(online, "export", "nothing", place("x.tar"))).toMatchObject({ code: EXIT.notFound });
    expect(await cli(online, "export", "big")).toMatchObject({ code: EXIT.usage });
    expect(await cli(online, "export", "big", place("x"), "--since", "1")).toMatchObject({
      code: EXIT.usage,
      stderr: "error: --since 1: must name a version older than those that are exported\n",
    });
    expect(await cli(online, "export", "big", "org/tiny", place("x"), "--since", "1")).toMatchObject({
      code: EXIT.usage,
    });
    expect(await cli(online, "export", "big", root)).toMatchObject({
      code: EXIT.usage,
      stderr: expect.stringContaining("must be empty, or hold a bundle"),
    });
    expect(await cli(offline, "import-bundle", place("x"))).toMatchObject({ code: EXIT.usage });
  });
});
