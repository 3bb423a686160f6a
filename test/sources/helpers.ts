import { isDomainError, type Reason } from "../../src/domain/errors.ts";
import type { Logger } from "../../src/domain/logger.ts";
import type { NamedCredential, NamedCredentials } from "../../src/domain/ports/credentials.ts";
import type { FileOrigin, OpenedRange, ResolveRequest, SourceFile, Sources } from "../../src/domain/ports/sources.ts";
import type { HttpFile, Source } from "../../src/domain/source.ts";
import { createSources, type SourcesOptions } from "../../src/sources/sources.ts";

/** What the outgoing policy has to allow for servers of these tests. */
export const LOOPBACK = ["127.0.0.0/8", "::1/128"];

/** A log that keeps nothing. */
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

/** Credentials from an object. */
export function named(tokens: Record<string, NamedCredential>): NamedCredentials {
  return {
    async find(_field, name) {
      const credential = tokens[name];
      if (credential === undefined) throw new Error(`no credential ${name}`);
      return credential;
    },
  };
}

/** Sources that may reach loopback. */
export function testSources(options: Partial<SourcesOptions> = {}): Sources {
  return createSources({
    allowNetworks: LOOPBACK,
    localRoots: [],
    hfEndpoint: "http://127.0.0.1:1",
    credentials: named({}),
    userAgent: "model-manager/test",
    log: silent,
    ...options,
  });
}

/** A request for all of a source. */
export function request(changes: Partial<ResolveRequest> = {}): ResolveRequest {
  return { revision: "", allowPatterns: [], ignorePatterns: [], signal: new AbortController().signal, ...changes };
}

/** A source of one file, or of several. */
export function httpSource(...files: (Partial<HttpFile> & { url: string })[]): Source {
  return {
    kind: "http",
    credential: "",
    files: files.map((file, index) => ({ path: `file-${index}`, sha256: "", mirrors: [], ...file })),
  };
}

/** Resolves a source of one file and answers the file's preferred origin. */
export async function originOf(
  sources: Sources,
  source: Source,
  changes?: Partial<ResolveRequest>,
): Promise<FileOrigin> {
  return preferred((await sources.resolve(source, request(changes))).files[0]);
}

/** The first origin of a file. */
export function preferred(file: SourceFile | undefined): FileOrigin {
  const [origin] = file?.origins ?? [];
  if (origin === undefined) throw new Error("no origin");
  return origin;
}

export function open(
  origin: FileOrigin,
  offset = 0,
  validator?: string,
  signal: AbortSignal = new AbortController().signal,
): Promise<OpenedRange> {
  return origin.open({ offset, validator, signal });
}

/** All bytes of a body. */
export async function bytesOf(opened: OpenedRange | Promise<OpenedRange>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await opened).body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The domain error that something fails with; fails itself if there is none, or one of another reason. */
export async function failure(promise: Promise<unknown>, reason: Reason) {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!isDomainError(error, reason)) throw new Error(`expected ${reason}`, { cause: error });
  return error;
}

/** Bytes that are easy to tell apart by their place. */
export function bytes(size: number, seed = 0): Buffer {
  return Buffer.from(Uint8Array.from({ length: size }, (_, index) => (index * 31 + (index >> 8) + seed) & 0xff));
}
