import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import os from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Source } from "../../../src/domain/source.ts";
import { bytes, bytesOf, failure, open, preferred, request, testSources } from "../helpers.ts";

const REGISTRY = "/usr/bin/docker-registry";
const SKOPEO = "/usr/bin/skopeo";
const isInstalled = existsSync(REGISTRY) && existsSync(SKOPEO);
if (!isInstalled) console.warn("skipped: docker-registry and skopeo are not installed");

/** `reader` with the password `pa55`. */
const HTPASSWD = "reader:$2y$04$vBchh2mjpexPtStWPYYN7eKo7C.n605T0gn4QVg6Wjs4F9TN3pX0G\n";
const FILES = { "config.json": bytes(40), "weights/model.gguf": bytes(2_000_000, 1) };

const run = promisify(execFile);
const sources = testSources();

/** A registry as Debian packages it, on loopback, which asks for a user and a password. */
async function startDockerRegistry(folder: string): Promise<{ host: string; stop(): Promise<void> }> {
  const free = createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  const { port } = free.address() as AddressInfo;
  free.close();
  await once(free, "close");
  await writeFile(join(folder, "htpasswd"), HTPASSWD);
  const config = {
    version: "0.1",
    storage: { filesystem: { rootdirectory: join(folder, "registry") } },
    http: { addr: `127.0.0.1:${port}` },
    auth: { htpasswd: { realm: "test", path: join(folder, "htpasswd") } },
  };
  // YAML reads JSON.
  await writeFile(join(folder, "config.yml"), JSON.stringify(config));
  const registry = spawn(REGISTRY, ["serve", join(folder, "config.yml")], { stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface(registry.stderr)) if (line.includes("listening on")) break;
  registry.stderr.resume();
  return {
    host: `127.0.0.1:${port}`,
    async stop() {
      registry.kill();
      await once(registry, "exit");
    },
  };
}

/** An OCI image layout of a ModelPack artifact in `folder`. */
async function writeLayout(folder: string): Promise<void> {
  const blobs = join(folder, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const blob = async (mediaType: string, content: Uint8Array, annotations?: Record<string, string>) => {
    const hex = createHash("sha256").update(content).digest("hex");
    await writeFile(join(blobs, hex), content);
    return { mediaType, digest: `sha256:${hex}`, size: content.length, annotations };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: await blob("application/vnd.cncf.model.config.v1+json", json({ descriptor: { licenses: ["MIT"] } })),
    layers: await Promise.all(
      Object.entries(FILES).map(([path, content]) =>
        blob("application/vnd.cncf.model.weight.v1.raw", content, { "org.cncf.model.filepath": path }),
      ),
    ),
  };
  const entry = await blob(manifest.mediaType, json(manifest), { "org.opencontainers.image.ref.name": "v1" });
  await writeFile(join(folder, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(folder, "index.json"), json({ schemaVersion: 2, manifests: [entry] }));
}

describe.skipIf(!isInstalled)("a docker-registry that skopeo filled", () => {
  let folder: string;
  let registry: Awaited<ReturnType<typeof startDockerRegistry>>;
  beforeAll(async () => {
    folder = await mkdtemp(join(os.tmpdir(), "docker-registry-"));
    registry = await startDockerRegistry(folder);
    await writeLayout(join(folder, "layout"));
    const insecure = ["--dest-tls-verify=false", "--dest-creds=reader:pa55", "--insecure-policy"];
    const to = `docker://${registry.host}/org/model:v1`;
    await run(SKOPEO, ["copy", "--preserve-digests", ...insecure, `oci:${join(folder, "layout")}:v1`, to]);
  });
  afterAll(async () => {
    await registry?.stop();
    await sources.close();
    await rm(folder, { recursive: true });
  });

  const resolve = (reference: string, token = "reader:pa55") => {
    const source: Source = { kind: "oci", reference: `${registry.host}/${reference}`, credential: "" };
    return sources.resolve(source, request({ credential: { token } }));
  };

  it("is pulled from", async () => {
    const resolved = await resolve("org/model:v1");
    expect(resolved.license).toBe("MIT");
    const inspect = ["inspect", "--tls-verify=false", "--creds=reader:pa55", "--raw"];
    const { stdout } = await run(SKOPEO, [...inspect, `docker://${registry.host}/org/model:v1`]);
    expect(resolved.revision).toBe(`sha256:${createHash("sha256").update(stdout).digest("hex")}`);
    expect(resolved.files.map(({ path }) => path)).toEqual(Object.keys(FILES));
    for (const file of resolved.files) {
      const content = FILES[file.path as keyof typeof FILES];
      expect(await bytesOf(open(preferred(file)))).toEqual(content);
      expect(await bytesOf(open(preferred(file), 7))).toEqual(content.subarray(7));
    }
    expect((await resolve(`org/model@${resolved.revision}`)).files).toHaveLength(2);
  });

  it("refuses in its own words", async () => {
    await failure(resolve("org/model:v1", "reader:wrong"), "SOURCE_FORBIDDEN");
    await failure(resolve("org/model:v2"), "SOURCE_REVISION_NOT_FOUND");
    const missing = await resolve("org/none:v1").catch((error: unknown) => error);
    expect(missing).toMatchObject({ reason: expect.stringMatching(/^SOURCE(_REVISION)?_NOT_FOUND$/) });
    await failure(resolve(`org/model@sha256:${"0".repeat(64)}`), "SOURCE_REVISION_NOT_FOUND");
  });
});
