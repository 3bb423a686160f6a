import { DomainError } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { NamedCredentials } from "../domain/ports/credentials.ts";
import type { Sources } from "../domain/ports/sources.ts";
import type { SourceKind } from "../domain/source.ts";
import { resolveHttp } from "./http/http-source.ts";
import { resolveHuggingFace } from "./huggingface/huggingface-source.ts";
import { resolveLocal } from "./local/local-source.ts";
import { createLocalRoots } from "./local/roots.ts";
import { resolveOci } from "./oci/oci-source.ts";
import { createAddressPolicy } from "./outgoing/address-policy.ts";
import { type Lookup, lookupBySystem } from "./outgoing/connector.ts";
import { createHttpClient, type Proxies, type SourceTimeouts } from "./outgoing/http-client.ts";
import type { S3Defaults } from "./s3/environment.ts";
import type { S3Sources } from "./s3/s3-source.ts";

export interface SourcesOptions {
  /** Networks (CIDR) that may be reached besides public addresses. */
  readonly allowNetworks: readonly string[];
  /** Folders that local sources may read. */
  readonly localRoots: readonly string[];
  /** The hub that is asked where a source names none. */
  readonly hfEndpoint: string;
  /** A token for that hub alone. */
  readonly hfToken?: string;
  /** The S3 server and the region where a source names none; default Amazon's in `us-east-1`. */
  readonly s3?: S3Defaults;
  readonly credentials: NamedCredentials;
  /** Default none. */
  readonly proxies?: Proxies;
  readonly timeouts?: Partial<SourceTimeouts>;
  /** How the service calls itself to other servers. */
  readonly userAgent: string;
  /** How names are resolved; default as the machine does. */
  readonly lookup?: Lookup;
  readonly log: Logger;
}

const TIMEOUTS: SourceTimeouts = { connectMs: 10_000, headersMs: 30_000, stallMs: 30_000 };

/**
 * Creates the door to all sources: `http`, `huggingface`, `local`, `oci` and `s3`.
 *
 * @throws Error if one of the networks cannot be read.
 */
export function createSources(options: SourcesOptions): Sources {
  const { proxies = {}, credentials, lookup = lookupBySystem, userAgent, log } = options;
  const roots = createLocalRoots(options.localRoots);
  const client = createHttpClient({
    policy: createAddressPolicy(options.allowNetworks),
    lookup,
    proxies,
    timeouts: { ...TIMEOUTS, ...options.timeouts },
    userAgent,
  });
  let s3: Promise<S3Sources> | undefined;
  const openS3 = async (): Promise<S3Sources> => {
    const { createS3Sources } = await import("./s3/s3-source.ts");
    const defaults = options.s3 ?? { region: "us-east-1" };
    return createS3Sources({ http: client, credentials, defaults, log });
  };
  if (proxies.http || proxies.https) {
    log.info("Sources are reached through a proxy, whose own rules decide about names that do not resolve here");
  }
  return {
    assertDownloadable,
    async resolve(source, request) {
      request.signal.throwIfAborted();
      switch (source.kind) {
        case "http":
          return resolveHttp(client, credentials, source, request);
        case "huggingface": {
          const hub = { endpoint: options.hfEndpoint, token: options.hfToken };
          return resolveHuggingFace(client, credentials, hub, source, request);
        }
        case "local":
          return resolveLocal(roots, source, request);
        case "oci":
          return resolveOci(client, credentials, source, request);
        case "s3":
          s3 ??= openS3();
          return (await s3).resolve(source, request);
        case "upload":
          throw notDownloadable();
      }
    },
    close: () => client.close(),
  };
}

function assertDownloadable(kind: SourceKind): void {
  if (kind === "upload") throw notDownloadable();
}

function notDownloadable(): DomainError {
  return new DomainError(
    "STATE_INVALID",
    "the model's files are uploaded to it: there is no source to download them from",
  );
}
