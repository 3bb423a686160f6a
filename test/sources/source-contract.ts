import { createHash } from "node:crypto";
import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DomainError, isDomainError, type Reason } from "../../src/domain/errors.ts";
import type { ResolvedSource, ResolveRequest, SourceFile, Sources } from "../../src/domain/ports/sources.ts";
import { SourceUnavailable } from "../../src/domain/ports/sources.ts";
import type { Credential, Source } from "../../src/domain/source.ts";
import type { SourcesOptions } from "../../src/sources/sources.ts";
import { gitBlobSha1 } from "../support/hub.ts";
import { bytes, bytesOf, open, preferred, request, testSources } from "./helpers.ts";

/** The files of a place by their paths. */
export type PlacedFiles = Readonly<Record<string, Uint8Array>>;

/** How a server treats every request from now on: as usual, with this refusal, or by never answering. */
export type Mood = "usual" | "silent" | { readonly status: number; readonly headers: Readonly<Record<string, string>> };

/** A source of some kind that is filled by a test; started once for all cases. */
export interface SourceUnderTest {
  /** What {@link testSources} needs to reach it. */
  readonly options: Partial<SourcesOptions>;
  /**
   * Makes `files` all that the place called `name` (letters alone) holds, in the place of what it held, and answers how to
   * refer to it. What is `guarded` is only for `credentials.right`.
   */
  put(name: string, files: PlacedFiles, access?: "open" | "guarded"): Promise<Source>;
  /** A source that is not there. */
  missing(): Source;
  /** Takes one file away behind the back of whoever has resolved the place. */
  remove(name: string, path: string): Promise<void>;
  /** Of kinds that are reached over a network. */
  readonly network?: {
    behave(mood: Mood): void;
    /** A source of the kind on this port of 127.0.0.1, and what to reach it takes beyond `options`. */
    at(port: number): { readonly source: Source; readonly options?: Partial<SourcesOptions> };
  };
  /** For what is guarded; a credential that is refused must be one that the server has to judge. */
  readonly credentials?: {
    readonly right: Credential;
    readonly wrong: Credential;
    readonly secrets: readonly string[];
  };
  close(): Promise<void>;
}

/** A kind of source and what is particular to it. */
export interface SourceHarness {
  start(): Promise<SourceUnderTest>;
  /** Whether `ResolvedSource.revision` says what was pinned, and another revision can be asked for. */
  readonly hasRevisions: boolean;
  /** Options under which the operator allows nothing, and how that is said. */
  readonly forbidding: { readonly options: Partial<SourcesOptions>; readonly reason: Reason };
  /** Cases that the kind cannot have, each with the reason why. */
  readonly cannot?: Partial<Record<Case, string>>;
}

const CASES = [
  "lists all files with their sizes",
  "tells only digests that the bytes have",
  "reads the bytes of every file",
  "reads from any offset",
  "reads by bare connections what it reads itself",
  "keeps names with folders, spaces, percent signs and other scripts",
  "has empty files",
  "pins the same while nothing changes",
  "pins anew when a file changes",
  "never joins the bytes of two contents",
  "takes what patterns allow and do not ignore",
  "names the patterns that nothing matches",
  "says that the source is missing",
  "says that the revision is missing",
  "says that a file has gone",
  "is closed without credentials",
  "is closed to wrong credentials",
  "is open to the right credentials",
  "goes nowhere that the operator does not allow",
  "hopes that an unreachable host comes back",
  "passes on how long a busy server asks to wait",
  "does not begin after an abort",
  "ends a wait for an answer at an abort",
  "ends its body at an abort",
  "serves several readers at once",
] as const;

/** A case of the suite by its title. */
export type Case = (typeof CASES)[number];

const CONFIG = Buffer.from('{"model_type": "llama"}');
const FILES: PlacedFiles = {
  "config.json": CONFIG,
  "model.safetensors": bytes(300_000),
  "onnx/model.onnx": bytes(5000, 1),
  "onnx/deep/er/readme.txt": bytes(30, 2),
};
const ODD_FILES: PlacedFiles = {
  "a b/100%.txt": bytes(11),
  "a b/c+d&e=f%20g#h?.txt": bytes(12),
  "模型/пример é.json": bytes(13),
  ".hidden": bytes(14),
};

/** What every driver of sources does: the same cases on each kind, against a real server or folder. */
export function describeSourceContract(kind: string, harness: SourceHarness): void {
  describe(`source: ${kind}`, () => {
    let under: SourceUnderTest;
    const opened: Sources[] = [];

    beforeAll(async () => {
      under = await harness.start();
    });
    afterAll(async () => {
      await Promise.all(opened.map((sources) => sources.close()));
      await under.close();
    });

    const sourcesWith = (options: Partial<SourcesOptions> = {}): Sources => {
      const timeouts = { connectMs: 1000, headersMs: 5000, stallMs: 5000 };
      const sources = testSources({ timeouts, ...under.options, ...options });
      opened.push(sources);
      return sources;
    };
    const resolve = (source: Source, changes?: Partial<ResolveRequest>, options?: Partial<SourcesOptions>) =>
      sourcesWith(options).resolve(source, request(changes));
    const fileOf = (resolved: ResolvedSource, path: string): SourceFile => {
      const file = resolved.files.find((other) => other.path === path);
      if (file === undefined) throw new Error(`no file ${path}`);
      return file;
    };
    const network = () => {
      if (under.network === undefined) throw new Error(`${kind} declares no network`);
      return under.network;
    };
    const credentials = () => {
      if (under.credentials === undefined) throw new Error(`${kind} declares no credentials`);
      return under.credentials;
    };

    /** The error that is raised, by resolving or by reading the first file; its message must hold none of the secrets. */
    async function refusal(promise: Promise<unknown>, ...reasons: readonly Reason[]): Promise<DomainError> {
      const error = await promise.then(
        () => undefined,
        (caught: unknown) => caught,
      );
      if (!isDomainError(error) || !reasons.includes(error.reason)) {
        throw new Error(`expected ${reasons.join(" or ")}`, { cause: error });
      }
      for (const secret of under.credentials?.secrets ?? []) expect(error.message).not.toContain(secret);
      return error;
    }
    const readFirst = async (resolved: Promise<ResolvedSource>) => bytesOf(open(preferred((await resolved).files[0])));

    /** Runs a case, or shows why the kind has none of it. */
    const check = (title: Case, body: () => Promise<void>): void => {
      const reason = harness.cannot?.[title];
      if (reason === undefined) it(title, body);
      else it.skip(`${title} (not of this kind: ${reason})`, () => {});
    };

    async function expectSame(source: Source, files: PlacedFiles): Promise<void> {
      const resolved = await resolve(source);
      expect(resolved.files.map(({ path }) => path).sort()).toEqual(Object.keys(files).sort());
      for (const file of resolved.files) {
        const content = Buffer.from(files[file.path] ?? []);
        if (file.size !== undefined) expect(file.size).toBe(content.length);
        expect((await bytesOf(open(preferred(file)))).equals(content), file.path).toBe(true);
      }
    }

    check("lists all files with their sizes", async () => {
      const { files } = await resolve(await under.put("all", FILES));
      const listed = Object.fromEntries(files.map(({ path, size }) => [path, size]));
      expect(listed).toEqual(Object.fromEntries(Object.entries(FILES).map(([path, { length }]) => [path, length])));
      expect(new Set(files.map(({ identity }) => identity)).size).toBe(files.length);
      for (const { origins } of files) expect(origins[0]?.host).toMatch(/^local$|:\d+$/);
    });

    check("tells only digests that the bytes have", async () => {
      const { files } = await resolve(await under.put("digests", FILES));
      for (const { path, digest, gitBlobSha1: sha1 } of files) {
        const content = FILES[path] ?? new Uint8Array();
        if (digest !== undefined) expect(digest).toBe(`sha256:${createHash("sha256").update(content).digest("hex")}`);
        if (sha1 !== undefined) expect(sha1).toBe(gitBlobSha1(content));
      }
    });

    check("reads the bytes of every file", async () => {
      await expectSame(await under.put("bytes", FILES), FILES);
    });

    check("reads from any offset", async () => {
      const origin = preferred(fileOf(await resolve(await under.put("offsets", FILES)), "model.safetensors"));
      const content = Buffer.from(FILES["model.safetensors"] ?? []);
      const { validator, body } = await open(origin);
      for await (const _ of body) break;
      for (const offset of [1, 65_536, content.length - 1, content.length]) {
        const range = await open(origin, offset, validator);
        // At the end there is nothing to ask for: the whole again is as good as nothing.
        expect(offset < content.length ? [offset] : [offset, 0]).toContain(range.offset);
        expect((await bytesOf(range)).equals(content.subarray(range.offset)), `from ${offset}`).toBe(true);
        expect(range.size ?? content.length).toBe(content.length);
      }
    });

    check("reads by bare connections what it reads itself", async () => {
      const { files } = await resolve(await under.put("bare", FILES));
      for (const file of files) {
        const content = Buffer.from(FILES[file.path] ?? []);
        expect((await readBare(file, 5, 19)).equals(content.subarray(5, 20)), file.path).toBe(true);
      }
    });

    check("keeps names with folders, spaces, percent signs and other scripts", async () => {
      await expectSame(await under.put("odd", ODD_FILES), ODD_FILES);
    });

    check("has empty files", async () => {
      const files = { "empty.txt": new Uint8Array(), "full.txt": bytes(3) };
      await expectSame(await under.put("empty", files), files);
    });

    const pinOf = ({ revision, files }: ResolvedSource): string =>
      JSON.stringify([revision, ...files.map(({ path, identity }) => [path, identity]).sort()]);

    check("pins the same while nothing changes", async () => {
      const source = await under.put("same", FILES);
      const first = await resolve(source);
      expect(first.revision !== "").toBe(harness.hasRevisions);
      expect(pinOf(await resolve(source))).toBe(pinOf(first));
      if (harness.hasRevisions) expect(pinOf(await resolve(source, { revision: first.revision }))).toBe(pinOf(first));
    });

    check("pins anew when a file changes", async () => {
      const first = pinOf(await resolve(await under.put("changing", FILES)));
      const second = pinOf(await resolve(await under.put("changing", { ...FILES, "config.json": Buffer.from("{}") })));
      expect(second).not.toBe(first);
    });

    check("never joins the bytes of two contents", async () => {
      const [old, recent] = [bytes(2_000_000), bytes(2_000_000, 7)].map((part) => Buffer.from(part));
      const source = await under.put("swapped", { "model.bin": old ?? bytes(0) });
      const origin = preferred((await resolve(source)).files[0]);
      const first = await open(origin);
      const got = await upTo(first.body, 100_000);
      await under.put("swapped", { "model.bin": recent ?? bytes(0) });
      const rest = await open(origin, got.length, first.validator).catch((error: unknown) => error);
      if (rest instanceof Error) {
        expect(isDomainError(rest)).toBe(true);
        return;
      }
      const { offset, body, ...range } = rest as Awaited<ReturnType<typeof open>>;
      const whole = Buffer.concat([got.subarray(0, offset), await bytesOf({ ...range, offset, body })]);
      expect([old, recent].some((content) => content?.equals(whole))).toBe(true);
    });

    check("takes what patterns allow and do not ignore", async () => {
      const source = await under.put("patterns", FILES);
      const taken = async (allowPatterns: string[], ignorePatterns: string[]) =>
        (await resolve(source, { allowPatterns, ignorePatterns })).files.map(({ path }) => path).sort();
      expect(await taken(["*.json", "*.safetensors"], [])).toEqual(["config.json", "model.safetensors"]);
      expect(await taken(["onnx/"], ["*.txt"])).toEqual(["onnx/model.onnx"]);
      expect(await taken([], ["*/*"])).toEqual(["config.json", "model.safetensors"]);
    });

    check("names the patterns that nothing matches", async () => {
      const source = await under.put("nothing", FILES);
      const error = await refusal(resolve(source, { allowPatterns: ["*.gguf", "*.bin"] }), "SOURCE_FILE_NOT_FOUND");
      expect(error.message).toContain("'*.gguf', '*.bin'");
    });

    check("says that the source is missing", async () => {
      const error = await refusal(resolve(under.missing()), "SOURCE_NOT_FOUND", "SOURCE_FILE_NOT_FOUND");
      expect(error).not.toBeInstanceOf(SourceUnavailable);
    });

    check("says that the revision is missing", async () => {
      const source = await under.put("revisions", FILES);
      const reason = harness.hasRevisions ? "SOURCE_REVISION_NOT_FOUND" : "FIELD_INVALID";
      const error = await refusal(resolve(source, { revision: "none-such" }), reason);
      expect(error.message).toContain(harness.hasRevisions ? "none-such" : "revision");
    });

    check("says that a file has gone", async () => {
      const resolved = await resolve(await under.put("gone", FILES));
      await under.remove("gone", "config.json");
      const reading = bytesOf(open(preferred(fileOf(resolved, "config.json"))));
      const error = await refusal(reading, "SOURCE_FILE_NOT_FOUND", "SOURCE_NOT_FOUND");
      expect(error.message).toContain("config.json");
      expect(error).not.toBeInstanceOf(SourceUnavailable);
    });

    check("is closed without credentials", async () => {
      const source = await under.put("guarded", FILES, "guarded");
      const error = await refusal(readFirst(resolve(source)), "SOURCE_FORBIDDEN", "SOURCE_NOT_FOUND");
      expect(error).not.toBeInstanceOf(SourceUnavailable);
    });

    check("is closed to wrong credentials", async () => {
      const source = await under.put("guarded", FILES, "guarded");
      const reading = readFirst(resolve(source, { credential: credentials().wrong }));
      expect(await refusal(reading, "SOURCE_FORBIDDEN")).not.toBeInstanceOf(SourceUnavailable);
    });

    check("is open to the right credentials", async () => {
      const source = await under.put("guarded", FILES, "guarded");
      const resolved = await resolve(source, { credential: credentials().right });
      const content = await bytesOf(open(preferred(fileOf(resolved, "config.json"))));
      expect(content.equals(CONFIG)).toBe(true);
    });

    check("goes nowhere that the operator does not allow", async () => {
      const source = await under.put("outside", FILES);
      const { options, reason } = harness.forbidding;
      expect(await refusal(resolve(source, {}, options), reason)).not.toBeInstanceOf(SourceUnavailable);
    });

    check("hopes that an unreachable host comes back", async () => {
      const { source, options } = network().at(1);
      expect(await refusal(resolve(source, {}, options), "SOURCE_UNAVAILABLE")).toBeInstanceOf(SourceUnavailable);
    });

    check("passes on how long a busy server asks to wait", async () => {
      const source = await under.put("busy", FILES);
      const { files } = await resolve(source);
      network().behave({ status: 503, headers: { "retry-after": "7" } });
      try {
        for (const ask of [() => resolve(source), () => open(preferred(files[0]))]) {
          const error = await refusal(ask(), "SOURCE_UNAVAILABLE");
          expect(error).toBeInstanceOf(SourceUnavailable);
          expect(error).toMatchObject({ retryAfterMs: 7000, metadata: { http_status: "503" } });
        }
      } finally {
        network().behave("usual");
      }
      expect((await resolve(source)).files).toHaveLength(files.length);
    });

    check("does not begin after an abort", async () => {
      const source = await under.put("aborted", FILES);
      const { files } = await resolve(source);
      const reason = new Error("enough");
      const signal = AbortSignal.abort(reason);
      await expect(resolve(source, { signal })).rejects.toBe(reason);
      await expect(open(preferred(files[0]), 0, undefined, signal)).rejects.toBe(reason);
    });

    check("ends a wait for an answer at an abort", async () => {
      const source = await under.put("waiting", FILES);
      const { files } = await resolve(source);
      network().behave("silent");
      try {
        for (const ask of [
          (signal: AbortSignal) => resolve(source, { signal }),
          (signal: AbortSignal) => open(preferred(files[0]), 0, undefined, signal),
        ]) {
          const controller = new AbortController();
          const reason = new Error("enough");
          const asked = ask(controller.signal);
          asked.catch(() => {});
          await delay(50);
          controller.abort(reason);
          await expect(asked).rejects.toBe(reason);
        }
      } finally {
        network().behave("usual");
      }
    });

    check("ends its body at an abort", async () => {
      const source = await under.put("long", { "model.bin": bytes(4_000_000) });
      const controller = new AbortController();
      const reason = new Error("enough");
      const { body } = await open(preferred((await resolve(source)).files[0]), 0, undefined, controller.signal);
      const reading = (async () => {
        for await (const _ of body) controller.abort(reason);
      })();
      await expect(reading).rejects.toBe(reason);
    });

    check("serves several readers at once", async () => {
      const { files } = await resolve(await under.put("readers", FILES));
      const all = Array.from({ length: 8 }, () => files).flat();
      const contents = await Promise.all(all.map((file) => bytesOf(open(preferred(file)))));
      for (const [index, { path }] of all.entries()) {
        expect(contents[index]?.equals(FILES[path] ?? new Uint8Array())).toBe(true);
      }
    });
  });
}

/** The first bytes of a body, about as many as are wanted; the rest is let go. */
async function upTo(body: AsyncIterable<Uint8Array>, wanted: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= wanted) break;
  }
  return Buffer.concat(chunks);
}

/** Bytes `first` to `last` as a connection of one's own gets them. */
async function readBare(file: SourceFile, first: number, last: number): Promise<Buffer> {
  const { signal } = new AbortController();
  let route = await preferred(file).route?.(signal);
  for (;;) {
    if (route === undefined) throw new Error(`no route to ${file.path}`);
    const { addresses, port, path, headers } = route.target;
    const options = {
      host: addresses[0],
      port,
      path,
      headers: { ...headers, range: `bytes=${first}-${last}` },
      agent: false,
    };
    const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http.get(options, resolve).on("error", reject);
    });
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    const { location } = answer.headers;
    if (location === undefined) {
      expect(answer.statusCode).toBe(206);
      return Buffer.concat(chunks);
    }
    route = await route.follow(location, signal);
  }
}
