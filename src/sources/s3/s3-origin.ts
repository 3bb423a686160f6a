import { DomainError } from "../../domain/errors.ts";
import type { FileOrigin } from "../../domain/ports/sources.ts";
import { statusFailure } from "../outgoing/failures.ts";
import type { HttpAnswer, HttpClient } from "../outgoing/http-client.ts";
import { type HttpTarget, openRange } from "../outgoing/open-range.ts";
import { routeFinder } from "../outgoing/route.ts";
import type { Bucket } from "./bucket.ts";
import { quoted } from "./list-objects.ts";
import { headObject, objectName, type PinnedObject } from "./pin-object.ts";

/**
 * An object as a place to read from, by a signed address that is made anew at each opening, so none is too old. Its bytes
 * are those that were listed, or none: an object that was changed is SOURCE_REVISION_NOT_FOUND.
 */
export function s3Origin(http: HttpClient, bucket: Bucket, object: PinnedObject): FileOrigin {
  const { key, versionId, etag, size } = object;
  const subject = objectName(bucket, object);
  const refusal = ({ status, headers }: Pick<HttpAnswer, "status" | "headers">) =>
    status === 412 ? objectChanged(subject) : statusFailure(status, headers, subject);
  const target = async (): Promise<HttpTarget> => {
    const url = await bucket.addressOf(key, versionId);
    return { url, size, subject, refusal, etag };
  };
  /** Bare connections compare answers with each other, and not every server compares what it is asked to. */
  const assertUnchanged = async (signal: AbortSignal) => {
    const head = await headObject(bucket, { Key: key, VersionId: versionId }, subject, signal);
    if (quoted(head.ETag ?? "") !== etag) throw objectChanged(subject);
  };
  let hasFailed = false;
  return {
    host: bucket.host,
    open: async (request) => {
      request.signal.throwIfAborted();
      return openRange(http, await target(), request);
    },
    route: http.proxied
      ? undefined
      : async (signal) => {
          // Asked again, something did not go on as it began.
          if (hasFailed) await assertUnchanged(signal);
          hasFailed = true;
          const route = await routeFinder(http, await target())?.(signal);
          if (route === undefined) throw new Error("there is no route without a proxy");
          // As good as a redirect: what it leads to is signed for a while.
          return { ...route, redirected: true };
        },
  };
}

/** Started again, a download would take the object as it is then. */
function objectChanged(subject: string): DomainError {
  return new DomainError(
    "SOURCE_REVISION_NOT_FOUND",
    `${subject} was changed after the download had begun: start the download again to get what is there now`,
  );
}
