import { DomainError, invalidField } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import type { NamedCredentials } from "../../domain/ports/credentials.ts";
import type { ResolvedSource, ResolveRequest, SourceFile } from "../../domain/ports/sources.ts";
import type { S3Source } from "../../domain/source.ts";
import { mapConcurrently } from "../../lib/map-concurrently.ts";
import { parseS3Uri, type S3Place } from "../../lib/s3-uri.ts";
import { accessKeyFor, proofOf } from "../credentials.ts";
import { identityOf, patternsOf, selectFiles } from "../files.ts";
import type { HttpClient } from "../outgoing/http-client.ts";
import { parseSourceUrl } from "../outgoing/url.ts";
import { type Bucket, openBucket } from "./bucket.ts";
import { createS3Environment, type S3Defaults, type S3Environment } from "./environment.ts";
import { findObject } from "./find-object.ts";
import { listObjects, type S3Object } from "./list-objects.ts";
import { type PinnedObject, pinObject, withReadableVersions } from "./pin-object.ts";
import { WrongRegion } from "./s3-failure.ts";
import { s3Origin } from "./s3-origin.ts";

/** Objects looked at at the same time. */
const PROBES = 16;

/** What is shared by all sources in S3. */
export interface S3SourcesOptions {
  readonly http: HttpClient;
  readonly credentials: NamedCredentials;
  readonly defaults: S3Defaults;
  readonly log: Logger;
}

/** All sources in S3. */
export interface S3Sources {
  resolve(source: S3Source, request: ResolveRequest): Promise<ResolvedSource>;
}

/** Creates the door to S3. To be imported when it is needed: the SDK comes with it, which is large. */
export function createS3Sources({ http, credentials, defaults, log }: S3SourcesOptions): S3Sources {
  const tools = { http, credentials, environment: createS3Environment(defaults, log) };
  return { resolve: (source, request) => resolveS3(tools, source, request) };
}

interface Tools {
  readonly http: HttpClient;
  readonly credentials: NamedCredentials;
  readonly environment: S3Environment;
}

/**
 * Resolves an object or all objects below a prefix. The revision names their keys, etags and sizes, whatever the patterns
 * take of them: the same content has the same one, and another cannot be asked for.
 *
 * Costs a request for each thousand objects, and one for each file that is taken.
 */
async function resolveS3(tools: Tools, source: S3Source, request: ResolveRequest): Promise<ResolvedSource> {
  const { signal } = request;
  const { bucket, objects } = await lookUp(tools, source, request);
  const revision = revisionOf(objects);
  if (request.revision !== "" && request.revision !== revision) throw otherRevision(source, request.revision, revision);
  const selected = selectFiles(objects, patternsOf(request));
  const pinned = await mapConcurrently(selected, PROBES, signal, (object, _, either) =>
    pinObject(bucket, object, either),
  );
  const files = await withReadableVersions(bucket, pinned, signal);
  return { revision, license: "", files: files.map((object) => sourceFile(tools.http, bucket, object)) };
}

function placeOf({ uri }: S3Source): S3Place {
  const place = parseS3Uri(uri);
  if (place === undefined) {
    throw invalidField("source.s3.uri", "must be s3://bucket/key without '.' and '..' between slashes");
  }
  return place;
}

/** Opens the bucket and lists it; where the source says no region, in the one that the server names. */
async function lookUp(
  { http, credentials, environment }: Tools,
  source: S3Source,
  request: ResolveRequest,
): Promise<{ bucket: Bucket; objects: readonly S3Object[] }> {
  const place = placeOf(source);
  const address = source.endpoint || environment.endpoint;
  const endpoint = address === undefined ? undefined : parseSourceUrl("source.s3.endpoint", address);
  // As the hub's token, what the environment has goes to the servers that the operator chose, not to whichever a caller names.
  const isOwn = endpoint === undefined || endpoint.origin === originOf(environment.endpoint) || isAmazon(endpoint);
  const proof = await proofOf(credentials, request.credential, source.credential);
  const look = async (region: string) => {
    const server = endpoint ?? new URL(`https://s3.${region}.amazonaws.com`);
    const signer = accessKeyFor(proof, server) ?? (isOwn ? await environment.credentials() : undefined);
    const bucket = openBucket(http, { bucket: place.bucket, endpoint, region, credentials: signer });
    return { bucket, objects: await objectsAt(bucket, place, request.signal) };
  };
  try {
    return await look(source.region || environment.region);
  } catch (error) {
    if (source.region !== "" || !(error instanceof WrongRegion)) throw error;
    return look(error.region);
  }
}

const originOf = (url: string | undefined): string | undefined => (url === undefined ? undefined : new URL(url).origin);

const isAmazon = ({ protocol, hostname }: URL): boolean =>
  protocol === "https:" && /\.amazonaws\.com(\.cn)?$/.test(hostname);

/** The object of that key, or all below it if it ends with a slash; SOURCE_NOT_FOUND if that is nothing. */
async function objectsAt(bucket: Bucket, { key }: S3Place, signal: AbortSignal): Promise<readonly S3Object[]> {
  if (key !== "" && !key.endsWith("/")) return [await findObject(bucket, key, signal)];
  const objects = await listObjects(bucket, key, signal);
  if (objects.length > 0) return objects;
  throw new DomainError("SOURCE_NOT_FOUND", `there is nothing below '${key}' in ${bucket.subject}`);
}

/** The same for the same content, in whatever order it is listed. */
function revisionOf(objects: readonly S3Object[]): string {
  const parts = objects.map(({ path, etag, size }) => JSON.stringify([path, etag, size]));
  return identityOf("s3", ...parts.sort());
}

function otherRevision({ uri }: S3Source, asked: string, actual: string): DomainError {
  return new DomainError(
    "SOURCE_REVISION_NOT_FOUND",
    `'${uri}' is not at the revision '${asked}', but at '${actual}': S3 has only what is there now`,
  );
}

function sourceFile(http: HttpClient, bucket: Bucket, object: PinnedObject): SourceFile {
  const { path, key, etag, size, digest } = object;
  return {
    path,
    size,
    digest,
    identity: identityOf("s3", bucket.host, bucket.bucket, key, etag),
    origins: [s3Origin(http, bucket, object)],
  };
}
