import { createHash, randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { type Behavior, type OriginRequest, startOrigin, type TestOrigin } from "./origin.ts";

/** A file of a repository; what is not LFS is small and carries git's own hash. */
export interface HubFile {
  readonly bytes: Uint8Array;
  readonly lfs?: boolean;
  /** An LFS file that the hub keeps as chunks, and puts together for whoever asks for it by HTTP. */
  readonly xet?: boolean;
  /** How the CDN treats an LFS file. */
  readonly behavior?: Behavior;
}

export interface HubRepository {
  readonly files: Readonly<Record<string, HubFile | Uint8Array>>;
  /** In the model card, such as `apache-2.0`. */
  readonly license?: string;
  /** Further fields of the model card. */
  readonly card?: Readonly<Record<string, unknown>>;
  readonly tags?: readonly string[];
  /** Files need a token, even though the repository can be seen. */
  readonly gated?: boolean;
  /** Without a token it looks as if it were not there. */
  readonly private?: boolean;
}

export interface HubOptions {
  /** The token that is accepted. */
  readonly token?: string;
  /** Entries of a page of a tree; default 2, so that there is more than one page. */
  readonly pageSize?: number;
}

/** A Hugging Face hub on loopback: repository info, paged trees, and files that redirect to a CDN on another port. */
export interface TestHub {
  readonly endpoint: string;
  readonly hub: TestOrigin;
  /** Refuses any request that carries Authorization or a signature that is not valid any more. */
  readonly cdn: TestOrigin;
  /** Commits to a repository, which is made if needed; `main` and the further branches or tags point there. Answers the commit. */
  commit(repo: string, content: HubRepository, references?: readonly string[]): string;
  /** Redirects an old name of a repository to its new one. */
  rename(from: string, to: string): void;
  /** Takes a file away from every commit of a repository, as if its history had been rewritten. */
  forget(repo: string, path: string): void;
  /** Answers everything that the hub itself is asked so, or never (`silent`); undefined is honest again. */
  behave(mood: HubMood | undefined): void;
  /** Makes every signed URL that was given out so far invalid. */
  expireSignatures(): void;
  close(): Promise<void>;
}

/** What a hub does instead of answering. */
export type HubMood = "silent" | { readonly status: number; readonly headers?: Readonly<Record<string, string>> };

interface Commit {
  readonly id: string;
  readonly content: HubRepository;
  readonly files: Map<string, HubFile>;
}

interface Repository {
  readonly references: Map<string, Commit>;
  newest: Commit;
}

/** SHA-1 of git's blob object. */
export function gitBlobSha1(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}

/** Some hash of its own: what the real one is made of is nobody's business here. */
const xetHash = (bytes: Uint8Array): string => createHash("sha256").update("xet").update(bytes).digest("hex");

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Starts a hub and its CDN on free ports of 127.0.0.1. */
export async function startHub({ token, pageSize = 2 }: HubOptions = {}): Promise<TestHub> {
  const repositories = new Map<string, Repository>();
  const renamed = new Map<string, string>();
  const signatures = new Set<string>();
  let mood: HubMood | undefined;

  const cdn = await startOrigin({
    inspect(request) {
      if (request.headers.authorization !== undefined) return 400;
      return signatures.has(query(request).get("Signature") ?? "") ? undefined : 403;
    },
  });
  const hub = await startOrigin({
    fallback(request, response) {
      if (mood === undefined) respond(request, response);
      else if (mood !== "silent") response.writeHead(mood.status, mood.headers).end();
      return true;
    },
  });

  function respond(request: OriginRequest, response: ServerResponse): ServerResponse {
    const given = request.headers.authorization;
    if (given !== undefined && given !== `Bearer ${token}`) {
      return refuse(response, 401, undefined, "Invalid credentials in Authorization header");
    }
    const route = routeOf(request.path);
    if (route === undefined) return refuse(response, 404, undefined, "Not found");
    const target = renamed.get(route.repo);
    if (target !== undefined) {
      return response.writeHead(307, { location: request.path.replace(route.repo, target) }).end();
    }
    const repository = repositories.get(route.repo);
    const authorized = given !== undefined;
    if (repository === undefined || (repository.newest.content.private && !authorized)) {
      return authorized
        ? refuse(response, 404, "RepoNotFound", "Repository not found")
        : refuse(response, 401, "RepoNotFound", "Invalid username or password.");
    }
    const commit = repository.references.get(route.revision);
    if (commit === undefined) {
      return refuse(response, 404, "RevisionNotFound", `Invalid rev id: ${route.revision}`);
    }
    if (route.kind === "revision") return info(route.repo, commit, response);
    if (route.kind === "tree") return tree(commit, request, response);
    if (commit.content.gated && !authorized) {
      return refuse(response, 401, "GatedRepo", `Access to model ${route.repo} is restricted.`);
    }
    return resolve(commit, route.path, request, response);
  }

  function tree(commit: Commit, request: OriginRequest, response: ServerResponse): ServerResponse {
    const entries = entriesOf(commit, query(request).get("recursive") === "true");
    const from = Number(query(request).get("cursor") ?? 0);
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (from + pageSize < entries.length) {
      const next = new URL(request.path, hub.base);
      next.searchParams.set("cursor", String(from + pageSize));
      headers.link = `<${next.href}>; rel="next"`;
    }
    return response.writeHead(200, headers).end(JSON.stringify(entries.slice(from, from + pageSize)));
  }

  function resolve(commit: Commit, path: string, request: OriginRequest, response: ServerResponse): ServerResponse {
    const file = commit.files.get(path);
    if (file === undefined) return refuse(response, 404, "EntryNotFound", "Entry not found");
    if (file.lfs) {
      const signature = randomBytes(8).toString("hex");
      signatures.add(signature);
      const headers = {
        location: `${cdn.base}/blobs/${sha256(file.bytes)}?Signature=${signature}`,
        "x-repo-commit": commit.id,
        "x-linked-size": String(file.bytes.length),
        "x-linked-etag": `"${sha256(file.bytes)}"`,
        ...(file.xet && {
          "x-xet-hash": xetHash(file.bytes),
          link: `<${hub.base}/api/models/any/xet-read-token/${commit.id}>; rel="xet-auth"`,
        }),
      };
      return response.writeHead(302, headers).end();
    }
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const start = Number(first ?? 0);
    const body = file.bytes.subarray(start, last ? Number(last) + 1 : undefined);
    const headers: Record<string, string | number> = {
      etag: `"${gitBlobSha1(file.bytes)}"`,
      "content-length": body.length,
      "x-repo-commit": commit.id,
    };
    const isPart = start > 0 || body.length < file.bytes.length;
    if (isPart) headers["content-range"] = `bytes ${start}-${start + body.length - 1}/${file.bytes.length}`;
    response.writeHead(isPart ? 206 : 200, headers);
    if (request.method === "HEAD") return response.end();
    request.sent += body.length;
    return response.end(body);
  }

  return {
    endpoint: hub.base,
    hub,
    cdn,
    commit(repo, content, references = []) {
      const files = new Map(
        Object.entries(content.files).map(([path, file]) => [
          path,
          file instanceof Uint8Array ? { bytes: file } : file,
        ]),
      );
      const id = createHash("sha1")
        .update(JSON.stringify([repo, [...files].map(([path, { bytes }]) => [path, sha256(bytes)])]))
        .digest("hex");
      const commit: Commit = { id, content, files };
      for (const { bytes, lfs, behavior } of files.values()) {
        if (lfs) cdn.serve(`/blobs/${sha256(bytes)}`, bytes, behavior);
      }
      const repository = repositories.get(repo) ?? { references: new Map(), newest: commit };
      repository.newest = commit;
      for (const reference of ["main", "HEAD", id, ...references]) repository.references.set(reference, commit);
      repositories.set(repo, repository);
      return id;
    },
    rename(from, to) {
      renamed.set(from, to);
    },
    forget(repo, path) {
      for (const { files } of repositories.get(repo)?.references.values() ?? []) files.delete(path);
    },
    behave(next) {
      mood = next;
    },
    expireSignatures() {
      signatures.clear();
    },
    async close() {
      await Promise.all([hub.close(), cdn.close()]);
    },
  };
}

interface Route {
  readonly kind: "revision" | "tree" | "resolve";
  readonly repo: string;
  readonly revision: string;
  readonly path: string;
}

function routeOf(url: string): Route | undefined {
  const path = url.split("?", 1)[0] ?? "";
  const api = /^\/api\/models\/(.+?)\/(revision|tree)\/([^/]+)$/.exec(path);
  if (api !== null) {
    const [, repo = "", kind, revision = ""] = api;
    return { kind: kind === "tree" ? "tree" : "revision", repo, revision: decodeURIComponent(revision), path: "" };
  }
  const file = /^\/(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(path);
  if (file === null) return undefined;
  const [, repo = "", revision = "", rest = ""] = file;
  return {
    kind: "resolve",
    repo,
    revision: decodeURIComponent(revision),
    path: rest.split("/").map(decodeURIComponent).join("/"),
  };
}

const query = ({ path }: OriginRequest): URLSearchParams => new URL(path, "http://hub").searchParams;

function refuse(response: ServerResponse, status: number, code: string | undefined, message: string): ServerResponse {
  return response
    .writeHead(status, {
      "content-type": "application/json",
      "x-error-message": message,
      ...(code === undefined ? {} : { "x-error-code": code }),
    })
    .end(JSON.stringify({ error: message }));
}

function info(repo: string, commit: Commit, response: ServerResponse): ServerResponse {
  const { license, gated = false, private: hidden = false, card, tags = [] } = commit.content;
  return response.writeHead(200, { "content-type": "application/json" }).end(
    JSON.stringify({
      _id: "0123456789abcdef01234567",
      id: repo,
      sha: commit.id,
      private: hidden,
      gated: gated ? "manual" : false,
      tags: ["safetensors", ...tags, ...(license === undefined ? [] : [`license:${license}`])],
      ...(card !== undefined && { cardData: { license, ...card } }),
      lastModified: "2025-01-01T00:00:00.000Z",
    }),
  );
}

/** The entries of a tree as the hub lists them: folders too, LFS files with their pointer's hash as `oid`. */
function entriesOf({ files }: Commit, recursive: boolean): object[] {
  const folders = new Set<string>();
  for (const path of files.keys()) {
    for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) folders.add(path.slice(0, at));
  }
  const entries = [
    ...[...folders].map((path) => ({ type: "directory", oid: gitBlobSha1(Buffer.from(path)), size: 0, path })),
    ...[...files].map(([path, { bytes, lfs, xet }]) => {
      const size = bytes.length;
      if (!lfs) return { type: "file", oid: gitBlobSha1(bytes), size, path };
      const oid = sha256(bytes);
      const pointer = Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${size}\n`);
      const entry = { type: "file", oid: gitBlobSha1(pointer), size, path };
      return { ...entry, lfs: { oid, size, pointerSize: pointer.length }, ...(xet && { xetHash: xetHash(bytes) }) };
    }),
  ];
  return entries.filter(({ path }) => recursive || !path.includes("/"));
}
