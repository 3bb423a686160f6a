import { digestOfHex } from "../../domain/digest.ts";
import { isDomainError } from "../../domain/errors.ts";
import type { NamedCredentials } from "../../domain/ports/credentials.ts";
import {
  type ResolvedSource,
  type ResolveRequest,
  type SourceFile,
  SourceUnavailable,
} from "../../domain/ports/sources.ts";
import type { HttpFile, HttpSource } from "../../domain/source.ts";
import { mapConcurrently } from "../../lib/map-concurrently.ts";
import { proofOf, tokenFor } from "../credentials.ts";
import { assertNoRevision, identityOf, patternsOf, selectFiles } from "../files.ts";
import type { HttpClient } from "../outgoing/http-client.ts";
import { httpOrigin } from "../outgoing/http-origin.ts";
import type { HttpTarget } from "../outgoing/open-range.ts";
import { parseSourceUrl, shownUrl } from "../outgoing/url.ts";
import { probeSize } from "./probe-size.ts";

/** Sizes asked for at the same time. */
const PROBES = 8;

type Located = HttpFile & { readonly targets: readonly HttpTarget[] };

/**
 * Resolves files on web servers: asks for the size of each, of its mirrors too where it fails itself. The credential goes
 * to the hosts of the files alone, never to a mirror.
 */
export async function resolveHttp(
  client: HttpClient,
  credentials: NamedCredentials,
  source: HttpSource,
  request: ResolveRequest,
): Promise<ResolvedSource> {
  assertNoRevision(request);
  const proof = await proofOf(credentials, request.credential, source.credential);
  const located = source.files.map((file, index): Located => {
    const field = `source.http.files[${index}]`;
    const url = parseSourceUrl(`${field}.url`, file.url);
    const mirrors = file.mirrors.map((mirror, at) => parseSourceUrl(`${field}.mirrors[${at}]`, mirror));
    const subject = (place: URL) => `'${file.path}' at ${shownUrl(place)}`;
    const first = { url, token: tokenFor(proof, url), subject: subject(url) };
    return { ...file, targets: [first, ...mirrors.map((mirror) => ({ url: mirror, subject: subject(mirror) }))] };
  });
  const files = await mapConcurrently(
    selectFiles(located, patternsOf(request)),
    PROBES,
    request.signal,
    (file, _, signal) => resolveFile(client, file, signal),
  );
  return { revision: "", license: "", files };
}

async function resolveFile(client: HttpClient, file: Located, signal: AbortSignal): Promise<SourceFile> {
  const { targets, size } = await probe(client, file.targets, signal);
  return {
    path: file.path,
    size,
    digest: file.sha256 === "" ? undefined : digestOfHex(file.sha256),
    identity: identityOf("http", file.url, file.path),
    origins: targets.map((target) => httpOrigin(client, { ...target, size })),
  };
}

/** Asks one place after the other for the size; drops those before the first answer that will not answer later either. */
async function probe(
  client: HttpClient,
  targets: readonly HttpTarget[],
  signal: AbortSignal,
): Promise<{ targets: readonly HttpTarget[]; size?: number }> {
  const waiting: HttpTarget[] = [];
  const failures: unknown[] = [];
  for (const [index, target] of targets.entries()) {
    try {
      const size = await probeSize(client, target, signal);
      // What answers now comes first; what may answer later stays as a reserve.
      return { targets: [...targets.slice(index), ...waiting], size };
    } catch (error) {
      signal.throwIfAborted();
      // A forbidden address is a fault of the request, not of a server that a mirror could stand in for.
      if (isDomainError(error, "ADDRESS_NOT_ALLOWED")) throw error;
      failures.push(error);
      if (error instanceof SourceUnavailable) waiting.push(target);
    }
  }
  throw failures.find((error) => error instanceof SourceUnavailable) ?? failures[0];
}
