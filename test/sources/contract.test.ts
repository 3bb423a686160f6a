import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import { dirname, join } from "node:path";
import { startHub } from "../support/hub.ts";
import { startOrigin } from "../support/origin.ts";
import { httpSource, LOOPBACK, named } from "./helpers.ts";
import { describeSourceContract, type Mood, type PlacedFiles, type SourceUnderTest } from "./source-contract.ts";

const TOKEN = "right-t0ken";
const CREDENTIALS = { right: { token: TOKEN }, wrong: { token: "wrong-t0ken" }, secrets: [TOKEN, "wrong-t0ken"] };
const NOT_LOOPBACK = { options: { allowNetworks: [] }, reason: "ADDRESS_NOT_ALLOWED" } as const;

describeSourceContract("http", {
  start: startHttp,
  hasRevisions: false,
  forbidding: NOT_LOOPBACK,
  cannot: { "pins anew when a file changes": "an address is all that is known of a file before its bytes are" },
});

describeSourceContract("huggingface", {
  start: startHuggingFace,
  hasRevisions: true,
  forbidding: NOT_LOOPBACK,
});

const NO_NETWORK = "it is reached without a network";
const NO_CREDENTIALS = "what the manager may read is decided by the operator's roots";

describeSourceContract("local", {
  start: startLocal,
  hasRevisions: false,
  forbidding: { options: { localRoots: [] }, reason: "PATH_NOT_ALLOWED" },
  cannot: {
    "reads by bare connections what it reads itself": NO_NETWORK,
    "hopes that an unreachable host comes back": NO_NETWORK,
    "passes on how long a busy server asks to wait": NO_NETWORK,
    "ends a wait for an answer at an abort": NO_NETWORK,
    "is closed without credentials": NO_CREDENTIALS,
    "is closed to wrong credentials": NO_CREDENTIALS,
    "is open to the right credentials": NO_CREDENTIALS,
  },
});

async function startHttp(): Promise<SourceUnderTest> {
  const served = new Set<string>();
  const origin = await startOrigin({
    inspect: ({ path, headers }) =>
      path.startsWith("/guarded/") && headers.authorization !== `Bearer ${TOKEN}` ? 401 : undefined,
  });
  const pathOf = (name: string, path: string) => `/${name}/${path.split("/").map(encodeURIComponent).join("/")}`;
  const behave = (mood: Mood) => {
    const behavior = mood === "usual" ? {} : mood === "silent" ? { hang: true } : mood;
    for (const path of served) origin.behave(path, behavior);
  };
  return {
    options: { allowNetworks: LOOPBACK, credentials: named({}) },
    async put(name, files) {
      const located = Object.entries(files).map(([path, content]) => {
        served.add(pathOf(name, path));
        return { path, url: origin.serve(pathOf(name, path), content) };
      });
      return httpSource(...located);
    },
    missing: () => httpSource({ url: `${origin.base}/missing/config.json` }),
    async remove(name, path) {
      origin.behave(pathOf(name, path), { status: 404 });
    },
    network: { behave, at: (port) => ({ source: httpSource({ url: `http://127.0.0.1:${port}/config.json` }) }) },
    credentials: CREDENTIALS,
    close: () => origin.close(),
  };
}

async function startHuggingFace(): Promise<SourceUnderTest> {
  const hub = await startHub({ token: TOKEN });
  const refer = (name: string, endpoint = "") => ({
    kind: "huggingface" as const,
    repo: `org/${name}`,
    revision: "",
    allowPatterns: [],
    ignorePatterns: [],
    endpoint,
    credential: "",
  });
  return {
    options: { hfEndpoint: hub.endpoint },
    async put(name, files, access = "open") {
      const stored = Object.entries(files).map(
        ([path, content]) => [path, { bytes: content, lfs: /\.(bin|onnx|safetensors)$/.test(path) }] as const,
      );
      hub.commit(`org/${name}`, { files: Object.fromEntries(stored), gated: access === "guarded" });
      return refer(name);
    },
    missing: () => refer("missing"),
    async remove(name, path) {
      hub.forget(`org/${name}`, path);
    },
    network: {
      behave: (mood) => hub.behave(mood === "usual" ? undefined : mood),
      at: (port) => ({ source: refer("any", `http://127.0.0.1:${port}`) }),
    },
    credentials: CREDENTIALS,
    close: () => hub.close(),
  };
}

async function startLocal(): Promise<SourceUnderTest> {
  const root = await mkdtemp(join(os.tmpdir(), "model-manager-contract-"));
  const refer = (name: string) => ({ kind: "local" as const, path: join(root, name) });
  const put = async (name: string, files: PlacedFiles) => {
    await rm(join(root, name), { recursive: true, force: true });
    for (const [path, content] of Object.entries(files)) {
      const place = join(root, name, path);
      await mkdir(dirname(place), { recursive: true });
      await writeFile(place, content);
    }
    return refer(name);
  };
  return {
    options: { localRoots: [root] },
    put,
    missing: () => refer("missing"),
    remove: (name, path) => rm(join(root, name, path)),
    close: () => rm(root, { recursive: true }),
  };
}
