import { digestOfHex } from "../../domain/digest.ts";
import type { NamedCredentials } from "../../domain/ports/credentials.ts";
import type { FileOrigin, ResolvedSource, ResolveRequest, SourceFile } from "../../domain/ports/sources.ts";
import type { HuggingFaceSource } from "../../domain/source.ts";
import { proofOf, tokenFor } from "../credentials.ts";
import { identityOf, patternsOf, selectFiles } from "../files.ts";
import type { HttpClient } from "../outgoing/http-client.ts";
import { httpOrigin } from "../outgoing/http-origin.ts";
import { parseSourceUrl } from "../outgoing/url.ts";
import { type HubFile, type HubRepository, listTree, readSnapshot } from "./hub.ts";
import { gatedRepository, hubFailure } from "./hub-failure.ts";

/** The hub that is asked where a source names none, and its token, which goes to no other hub. */
export interface DefaultHub {
  readonly endpoint: string;
  readonly token?: string;
}

/**
 * Resolves a repository on a Hugging Face hub: pins the revision to a commit, then lists that commit's files. Large files
 * carry their SHA-256, the others git's SHA-1. Files that the hub keeps as chunks (xet) are listed as the large ones (LFS)
 * that they were and are read the same way: the hub puts them together behind a signed address.
 */
export async function resolveHuggingFace(
  client: HttpClient,
  credentials: NamedCredentials,
  hub: DefaultHub,
  source: HuggingFaceSource,
  request: ResolveRequest,
): Promise<ResolvedSource> {
  const repository = await repositoryOf(credentials, hub, source, request);
  const revision = request.revision || source.revision || "main";
  const { commit, license, card } = await readSnapshot(client, repository, revision, request.signal);
  if (card.gated && repository.token === undefined) throw gatedRepository(repository);
  const tree = await listTree(client, repository, commit, request.signal);
  const files = selectFiles(tree, patternsOf(request, source));
  const located = files.map((file) => sourceFile(client, repository, commit, file));
  return { revision: commit, license, card, files: located };
}

async function repositoryOf(
  credentials: NamedCredentials,
  hub: DefaultHub,
  source: HuggingFaceSource,
  request: ResolveRequest,
): Promise<HubRepository> {
  const standard = endpointOf("HF_ENDPOINT", hub.endpoint);
  const endpoint = source.endpoint === "" ? standard : endpointOf("source.huggingface.endpoint", source.endpoint);
  const proof = await proofOf(credentials, request.credential, source.credential);
  const token = tokenFor(proof, new URL(endpoint)) ?? (endpoint === standard ? hub.token : undefined);
  return { endpoint, repo: source.repo, token };
}

/** A hub's address without a query and without a slash at its end. */
function endpointOf(field: string, text: string): string {
  const { origin, pathname } = parseSourceUrl(field, text);
  return origin + pathname.replace(/\/+$/, "");
}

function sourceFile(client: HttpClient, repository: HubRepository, commit: string, file: HubFile): SourceFile {
  const { path, lfs } = file;
  const { endpoint, repo } = repository;
  return {
    path,
    size: lfs?.size ?? file.size,
    digest: lfs && digestOfHex(lfs.oid),
    gitBlobSha1: lfs === undefined ? file.oid : undefined,
    identity: identityOf("huggingface", endpoint, repo, commit, path),
    origins: [originOf(client, repository, commit, file)],
  };
}

/** The hub answers large files with a redirect to a signed address; it is asked anew at each opening, so none is too old. */
function originOf(client: HttpClient, repository: HubRepository, commit: string, file: HubFile): FileOrigin {
  const { endpoint, repo, token } = repository;
  const segments = [...repo.split("/"), "resolve", commit, ...file.path.split("/")];
  const url = new URL(`${endpoint}/${segments.map(encodeURIComponent).join("/")}`);
  const target = {
    url,
    token,
    size: file.lfs?.size ?? file.size,
    subject: `'${file.path}' of '${repo}' on ${url.host}`,
    refusal: (answer: Parameters<typeof hubFailure>[0]) =>
      hubFailure(answer, repository, { revision: commit, path: file.path }),
    immutable: file.lfs?.oid ?? file.oid,
  };
  return httpOrigin(client, target);
}
