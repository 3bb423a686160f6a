import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { expect, onTestFinished } from "vitest";
import type { Progress } from "../../../../src/domain/download.ts";
import type { Reason } from "../../../../src/domain/errors.ts";
import type { StartDownload } from "../../../../src/domain/ports/downloads.ts";
import type { HttpFile } from "../../../../src/domain/source.ts";
import type { DownloadsOptions, DownloadsService } from "../../../../src/download/downloads.ts";
import type { SourcesOptions } from "../../../../src/sources/sources.ts";
import { testSources } from "../../../sources/helpers.ts";
import {
  type Answer,
  type LyingOrigin,
  type LyingOriginOptions,
  startLyingOrigin,
} from "../../../support/lying-origin.ts";
import { type Cluster, createCluster, download } from "../../support/service.ts";
import type { Content } from "./answers.ts";

/** What every file is called unless it matters: the address ends so too. */
export const NAME = "model.bin";

/** How a process is set up. */
interface ProcessOptions extends Partial<Omit<DownloadsOptions, "sources">> {
  readonly sources?: Partial<SourcesOptions>;
}

/** How a download is run. */
export interface RunOptions extends ProcessOptions {
  readonly call?: Partial<StartDownload>;
}

/** How a download went. */
export interface Outcome {
  readonly modelId: string;
  readonly messages: readonly Progress[];
  readonly last: Progress;
  readonly ms: number;
  /** What lay in the folder of parts before it. */
  readonly partsBefore: readonly string[];
}

/** What a refusal has to say. */
export interface Refusal {
  readonly reason: Reason | readonly Reason[];
  readonly cause: RegExp;
  /** The source's host as the message has to name it; absent where several may be at fault. */
  readonly host?: string;
  /** The file as the message has to name it. Default {@link NAME}. */
  readonly file?: RegExp;
}

/** A whole download pipeline in front of servers that lie. */
export interface Lab {
  readonly cluster: Cluster;
  /** A server for the current test, which fails if it is asked more than `mostRequests` (default 500) times. */
  origin(answer: Answer, options?: LyingOriginOptions & { mostRequests?: number }): Promise<LyingOrigin>;
  /** Downloads a model of these files to its end, with a process of its own. */
  run(files: readonly (Partial<HttpFile> & { url: string })[], options?: RunOptions): Promise<Outcome>;
  /** Downloads one file called {@link NAME}. */
  fetch(url: string, file?: Partial<HttpFile>, options?: RunOptions): Promise<Outcome>;
  /** The version is there and holds exactly these bytes at {@link NAME}: those of one of the contents. */
  expectRight(outcome: Outcome, ...contents: readonly Content[]): Promise<void>;
  /** Nothing came of it, nothing is to be seen of it, and the error says which file, which source and why. */
  expectRefused(outcome: Outcome, refusal: Refusal): Promise<void>;
  /** All that is in the store's folder but for parts is blobs whose names are the hashes of their bytes. */
  expectVerifiedStore(): Promise<void>;
  /** Either of both. */
  expectRightOrRefused(outcome: Outcome, contents: readonly Content[], refusal: Refusal): Promise<void>;
  close(): Promise<void>;
}

/** Nobody else works on these downloads, so that the record need not be asked often. */
const CALM = { pollMs: 1000, renewMs: 1000 };
/** More attempts than this are a loop. */
const MOST_ATTEMPTS = 10;
/** More requests than this for one file are a siege. */
const MOST_REQUESTS = 500;

/** Makes a lab with a registry and a store of its own. */
export async function createLab(): Promise<Lab> {
  const cluster = await createCluster();
  const checked = new Set<string>();
  const parts = () => readdir(cluster.store.spoolDirectory);

  let running: { options: ProcessOptions; service: DownloadsService; stop(): Promise<void> } | undefined;

  /** One process at a time, since another one would take its downloads; a new one only where it has to be different. */
  async function processWith(options: ProcessOptions): Promise<DownloadsService> {
    if (running !== undefined && isDeepStrictEqual(options, running.options)) return running.service;
    await running?.stop();
    const { sources: sourcesOptions, ...others } = options;
    const sources = testSources(sourcesOptions);
    const service = await cluster.replica({ ...others, sources, timing: { ...CALM, ...others.timing } });
    const stop = async () => {
      await service.stop(1000);
      await sources.close();
    };
    running = { options, service, stop };
    service.start();
    return service;
  }

  async function expectVerifiedStore(): Promise<void> {
    const spool = `${relative(cluster.directory, cluster.store.spoolDirectory)}/`;
    for (const entry of await readdir(cluster.directory, { recursive: true, withFileTypes: true })) {
      const path = relative(cluster.directory, join(entry.parentPath, entry.name));
      if (!entry.isFile() || path.startsWith(spool) || checked.has(path)) continue;
      const sha256 = createHash("sha256")
        .update(await readFile(join(cluster.directory, path)))
        .digest("hex");
      expect(path).toBe(`blobs/sha256/${sha256.slice(0, 2)}/${sha256}`);
      checked.add(path);
    }
  }

  function expectSensible({ messages, last }: Outcome): void {
    expect(last.attempt).toBeLessThanOrEqual(MOST_ATTEMPTS);
    for (const [index, { attempt, completedBytes }] of messages.entries()) {
      const before = messages[index - 1];
      if (before?.attempt === attempt) expect(completedBytes).toBeGreaterThanOrEqual(before.completedBytes);
    }
  }

  const lab: Lab = {
    cluster,
    expectVerifiedStore,
    async origin(answer, { mostRequests = MOST_REQUESTS, ...options } = {}) {
      const origin = await startLyingOrigin(answer, options);
      onTestFinished(async () => {
        await origin.close();
        expect(origin.requests.length).toBeLessThan(mostRequests);
      });
      return origin;
    },
    async run(files, { call, ...options } = {}) {
      const service = await processWith(options);
      const modelId = await cluster.model(...files);
      const partsBefore = await parts();
      const begin = performance.now();
      const { messages, last } = await download(service, modelId, call);
      return { modelId, messages, last, ms: performance.now() - begin, partsBefore };
    },
    fetch: (url, file = {}, options = {}) => lab.run([{ url, path: NAME, ...file }], options),
    async expectRight(outcome, ...contents) {
      const { last, modelId, partsBefore } = outcome;
      expect(last.error?.message).toBeUndefined();
      expect(last).toMatchObject({ state: "SUCCEEDED", version: 1 });
      const { files = [] } = await cluster.models.getVersion({ modelId });
      const [file] = files;
      expect(files).toHaveLength(1);
      expect(contents.map(({ sha256 }) => `sha256:${sha256}`)).toContain(file?.digest);
      const length = contents.find(({ sha256 }) => file?.digest.endsWith(sha256))?.bytes.length;
      expect(file).toMatchObject({ path: NAME, size: length });
      expect(last).toMatchObject({ completedBytes: length, totalBytes: length, completedFiles: 1 });
      expect(file && (await cluster.store.stat(file.digest))).toEqual({ size: length });
      expect(partsBefore).toEqual(expect.arrayContaining(await parts()));
      expectSensible(outcome);
      await expectVerifiedStore();
    },
    async expectRefused(outcome, { reason, cause, host, file = new RegExp(NAME) }) {
      const { last, modelId } = outcome;
      const reasons = typeof reason === "string" ? [reason] : reason;
      expect(last.state).toBe("FAILED");
      expect(last.version).toBeUndefined();
      expect(last.error?.message).toMatch(cause);
      expect(reasons).toContain(last.error?.reason);
      expect(last.error?.message).toMatch(file);
      if (host !== undefined) expect(last.error?.message).toContain(host);
      await expect(cluster.models.getVersion({ modelId })).rejects.toMatchObject({ reason: "VERSION_NOT_FOUND" });
      expect(await cluster.models.get(modelId)).toMatchObject({ status: "FAILED" });
      expectSensible(outcome);
      await expectVerifiedStore();
    },
    async expectRightOrRefused(outcome, contents, refusal) {
      await (outcome.last.state === "SUCCEEDED"
        ? lab.expectRight(outcome, ...contents)
        : lab.expectRefused(outcome, refusal));
    },
    async close() {
      await running?.stop();
      await cluster.close();
    },
  };
  return lab;
}
