import { createHash, randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { type OriginRequest, startOrigin, type TestOrigin } from "./origin.ts";

/** A layer of an artifact. */
export interface TestLayer {
  readonly type: string;
  readonly bytes: Uint8Array;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An artifact as it is pushed. */
export interface TestArtifact {
  readonly layers: readonly TestLayer[];
  /** Default the empty configuration. */
  readonly config?: TestLayer;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface RegistryOptions {
  /** What is asked of everyone; of those who read what is not guarded, a token that anybody gets. Default none. */
  readonly auth?: "none" | "basic" | "bearer";
  /** The one user. */
  readonly user?: string;
  readonly password?: string;
  /** Whether tokens are given out on a port of their own. */
  readonly tokensElsewhere?: boolean;
  /** Every token that was given out becomes invalid when a blob is asked for so often. */
  readonly expireAtBlob?: number;
  /** Whether blobs are redirected to a storage on a port of its own. */
  readonly blobsElsewhere?: boolean;
}

/** What a registry does instead of answering. */
export type RegistryMood = "silent" | { readonly status: number; readonly headers?: Readonly<Record<string, string>> };

/** An OCI registry on loopback, as far as pulling goes. */
export interface TestRegistry {
  /** Host and port. */
  readonly host: string;
  readonly registry: TestOrigin;
  /** Host and port of the token service. */
  readonly tokenHost: string;
  /** What the token service was asked with, oldest first. */
  readonly tokenRequests: readonly OriginRequest[];
  /** Refuses any request that carries Authorization. */
  readonly storage: TestOrigin;
  /** Stores a blob and answers its descriptor. */
  blob(repository: string, layer: TestLayer): { mediaType: string; digest: string; size: number };
  /** Stores a manifest and answers its digest; `digest` says which one it is found by, where it lies. */
  manifest(repository: string, body: unknown, options?: { type?: string; tag?: string; digest?: string }): string;
  /** Stores an artifact with its blobs and answers the manifest's digest. */
  push(repository: string, tag: string, artifact: TestArtifact): string;
  /** Lets only the user read a repository. */
  guard(repository: string): void;
  /** Takes a blob away. */
  forget(repository: string, digest: string): void;
  /** Makes every token that was given out so far invalid. */
  expireTokens(): void;
  /** Answers everything so, or never (`silent`); undefined is honest again. */
  behave(mood: RegistryMood | undefined): void;
  close(): Promise<void>;
}

interface Repository {
  readonly manifests: Map<string, { readonly bytes: Buffer; readonly type: string }>;
  readonly tags: Map<string, string>;
  readonly blobs: Map<string, Uint8Array>;
  guarded: boolean;
}

export const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const INDEX = "application/vnd.oci.image.index.v1+json";
const EMPTY: TestLayer = { type: "application/vnd.oci.empty.v1+json", bytes: Buffer.from("{}") };

/** The digest of bytes. */
export const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Starts a registry on free ports of 127.0.0.1. */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const { auth = "none", user = "reader", password = "pa55", tokensElsewhere, blobsElsewhere, expireAtBlob } = options;
  let blobsAsked = 0;
  const repositories = new Map<string, Repository>();
  const tokens = new Map<string, { readonly repository: string; readonly known: boolean }>();
  const tokenRequests: OriginRequest[] = [];
  const basic = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  let mood: RegistryMood | undefined;

  const storage = await startOrigin({
    inspect: ({ headers }) => (headers.authorization === undefined ? undefined : 400),
  });
  const answerInMood = (response: ServerResponse): boolean => {
    if (mood === undefined) return false;
    if (mood !== "silent") response.writeHead(mood.status, mood.headers).end();
    return true;
  };
  const tokenService = await startOrigin({
    fallback: (request, response) => answerInMood(response) || giveToken(request, response),
  });
  const registry = await startOrigin({
    fallback(request, response) {
      if (answerInMood(response)) return true;
      if (request.path.startsWith("/token?")) return giveToken(request, response);
      return respond(request, response);
    },
  });
  const tokenBase = tokensElsewhere ? tokenService.base : registry.base;

  function giveToken(request: OriginRequest, response: ServerResponse): boolean {
    tokenRequests.push(request);
    const { authorization } = request.headers;
    if (authorization !== undefined && authorization !== basic) return json(response, 401, { details: "no" });
    const query = new URL(request.path, tokenBase).searchParams;
    const [, repository] = /^repository:(.+):pull$/.exec(query.get("scope") ?? "") ?? [];
    if (repository === undefined || query.get("service") !== "test registry") return json(response, 400, {});
    const token = randomBytes(16).toString("base64url");
    tokens.set(token, { repository, known: authorization !== undefined });
    return json(response, 200, { token, expires_in: 300 });
  }

  function isAllowed({ headers }: OriginRequest, name: string): boolean {
    if (auth === "none") return true;
    const given = headers.authorization ?? "";
    const isGuarded = repositories.get(name)?.guarded ?? false;
    if (auth === "basic") return given === basic || (given === "" && !isGuarded);
    const token = tokens.get(given.replace(/^Bearer /, ""));
    return token !== undefined && token.repository === name && (token.known || !isGuarded);
  }

  function respond(request: OriginRequest, response: ServerResponse): boolean {
    const [, name = "", kind, reference = ""] =
      /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)$/.exec(request.path.split("?", 1)[0] ?? "") ?? [];
    if (kind === undefined) return json(response, 404, { errors: [{ code: "UNSUPPORTED" }] });
    if (kind === "blobs" && ++blobsAsked === expireAtBlob) tokens.clear();
    if (!isAllowed(request, name)) {
      const challenge = `Bearer realm="${tokenBase}/token",service="test registry",scope="repository:${name}:pull"`;
      response.setHeader("www-authenticate", auth === "basic" ? 'Basic realm="test registry"' : challenge);
      return json(response, 401, { errors: [{ code: "UNAUTHORIZED" }] });
    }
    const repository = repositories.get(name);
    if (repository === undefined) return json(response, 404, { errors: [{ code: "NAME_UNKNOWN" }] });
    return kind === "manifests"
      ? giveManifest(repository, reference, request, response)
      : giveBlob(repository, reference, request, response);
  }

  function giveManifest(
    { manifests, tags }: Repository,
    reference: string,
    { headers }: OriginRequest,
    response: ServerResponse,
  ): boolean {
    const digest = tags.get(reference) ?? reference;
    const manifest = manifests.get(digest);
    if (manifest === undefined) return json(response, 404, { errors: [{ code: "MANIFEST_UNKNOWN" }] });
    if (!headers.accept?.includes(manifest.type))
      return json(response, 404, { errors: [{ code: "MANIFEST_UNKNOWN" }] });
    response.writeHead(200, { "content-type": manifest.type, "docker-content-digest": digest }).end(manifest.bytes);
    return true;
  }

  function giveBlob({ blobs }: Repository, digest: string, request: OriginRequest, response: ServerResponse): boolean {
    const bytes = blobs.get(digest);
    if (bytes === undefined) return json(response, 404, { errors: [{ code: "BLOB_UNKNOWN" }] });
    if (blobsElsewhere) {
      response.writeHead(307, { location: `${storage.base}/${digest}?signature=s3cret` }).end();
      return true;
    }
    const [, first = "0", last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const start = Number(first);
    const total = bytes.length;
    if (start > 0 && start >= total) {
      response.writeHead(416, { "content-range": `bytes */${total}` }).end();
      return true;
    }
    const body = bytes.subarray(start, last ? Number(last) + 1 : undefined);
    const isPart = request.headers.range !== undefined && total > 0;
    response.writeHead(isPart ? 206 : 200, {
      "content-length": body.length,
      ...(isPart && { "content-range": `bytes ${start}-${start + body.length - 1}/${total}` }),
    });
    request.sent += body.length;
    response.end(body);
    return true;
  }

  function repositoryOf(name: string): Repository {
    const known = repositories.get(name);
    if (known !== undefined) return known;
    const made: Repository = { manifests: new Map(), tags: new Map(), blobs: new Map(), guarded: false };
    repositories.set(name, made);
    return made;
  }

  const made: TestRegistry = {
    host: new URL(registry.base).host,
    registry,
    tokenHost: new URL(tokenBase).host,
    tokenRequests,
    storage,
    blob(name, { type, bytes, annotations }) {
      const digest = digestOf(bytes);
      repositoryOf(name).blobs.set(digest, bytes);
      if (blobsElsewhere) storage.serve(`/${digest}`, bytes);
      return { mediaType: type, digest, size: bytes.length, ...(annotations && { annotations }) };
    },
    manifest(name, body, { type = MANIFEST, tag, digest } = {}) {
      const bytes = Buffer.from(JSON.stringify(body));
      const found = digest ?? digestOf(bytes);
      repositoryOf(name).manifests.set(found, { bytes, type });
      if (tag !== undefined) repositoryOf(name).tags.set(tag, found);
      return found;
    },
    push(name, tag, { layers, config = EMPTY, artifactType, annotations }) {
      const body = {
        schemaVersion: 2,
        mediaType: MANIFEST,
        artifactType,
        config: made.blob(name, config),
        layers: layers.map((layer) => made.blob(name, layer)),
        annotations,
      };
      return made.manifest(name, body, { tag });
    },
    guard(name) {
      repositoryOf(name).guarded = true;
    },
    forget(name, digest) {
      repositoryOf(name).blobs.delete(digest);
    },
    expireTokens: () => tokens.clear(),
    behave(next) {
      mood = next;
    },
    async close() {
      await Promise.all([registry.close(), tokenService.close(), storage.close()]);
    },
  };
  return made;
}

function json(response: ServerResponse, status: number, body: unknown): true {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  return true;
}
