import { createHash } from "node:crypto";
import { type Digest, digestOfHex } from "../../domain/digest.ts";
import type { FileOrigin } from "../../domain/ports/sources.ts";
import type { HttpAnswer, HttpClient, OutgoingRequest } from "../outgoing/http-client.ts";
import { type HttpTarget, openRange } from "../outgoing/open-range.ts";
import { findRoute } from "../outgoing/route.ts";
import { ACCEPTED, type Descriptor, type ManifestOrIndex, readManifest } from "./manifest.ts";
import { parseJson, readBody } from "./read-body.ts";
import { misunderstood, nameOfReference, nameOfTarget, type OciReference, type OciTarget } from "./reference.ts";
import { blobFailure, codeOf, manifestFailure, subjectOfBlob, wrongDigest } from "./registry-failure.ts";
import { createSession, TokenRefused } from "./session.ts";
import type { RegistryCredential } from "./token-service.ts";

/** A repository of a registry, as far as pulling goes. */
export interface Registry {
  /**
   * The manifest of a target, with its digest, which is checked. SOURCE_NOT_FOUND, SOURCE_REVISION_NOT_FOUND,
   * SOURCE_FORBIDDEN; CONTENT_MISMATCH for another one than was asked for.
   */
  manifest(target: OciTarget, signal: AbortSignal): Promise<ManifestOrIndex & { readonly digest: Digest }>;
  /** A small blob, checked, in memory; messages call it `name`. */
  read(descriptor: Descriptor, name: string, signal: AbortSignal): Promise<Buffer>;
  /** Where the bytes of a blob are; messages call it `name`. */
  origin(descriptor: Descriptor, name: string): FileOrigin;
}

/** What registries have to take, by the distribution specification. */
const MAX_MANIFEST_BYTES = 4 << 20;
const MAX_ERROR_BYTES = 64 << 10;
/** One without a token, one with it, and one more if that had just ended. */
const TRIES = 3;

/** Opens the repository of a reference. */
export function openRegistry(
  client: HttpClient,
  reference: OciReference,
  credential: RegistryCredential | undefined,
): Registry {
  const session = createSession(client, reference, credential);
  const address = (kind: "manifests" | "blobs", name: string) =>
    new URL(`/v2/${reference.repository}/${kind}/${name}`, reference.origin);

  /** Sends a request with what the registry wants to see. */
  async function send(request: Omit<OutgoingRequest, "token">): Promise<HttpAnswer> {
    for (let tries = 1; ; tries += 1) {
      const proof = await session.proof(request.signal);
      const answer = await client.send({ ...request, token: proof });
      if (answer.status < 400) session.accepted(proof);
      if (session.refused(proof, answer) === undefined || tries === TRIES) return answer;
      await answer.body.dump({ limit: MAX_ERROR_BYTES });
    }
  }

  return {
    async manifest(target, signal) {
      const subject = nameOfReference({ ...reference, target });
      const url = address("manifests", nameOfTarget(target));
      const answer = await send({ url, headers: { accept: ACCEPTED }, subject, signal });
      if (answer.status !== 200) {
        // Without a body, or with one that is too large, the status alone counts.
        const body = await readBody(answer, { most: MAX_ERROR_BYTES, subject, signal }).catch(() => undefined);
        signal.throwIfAborted();
        const code = body && codeOf(parseJson(body));
        throw manifestFailure(answer, reference, target, { code, hint: session.hint });
      }
      const bytes = await readBody(answer, { most: MAX_MANIFEST_BYTES, subject, signal });
      const digest = digestOf(bytes);
      const told = answer.headers["docker-content-digest"];
      if ("digest" in target && digest !== target.digest)
        throw wrongDigest(`the manifest ${subject}`, target.digest, digest);
      // Other algorithms are of no concern here.
      if (told?.startsWith("sha256:") && told !== digest) {
        throw wrongDigest(`the manifest ${subject}`, digestOfHex(told.slice("sha256:".length)), digest);
      }
      const json = parseJson(bytes);
      if (json === undefined) throw misunderstood(reference, "answers with a manifest that is not JSON");
      return { ...readManifest(reference, json, answer.headers["content-type"]), digest };
    },

    async read({ digest, size }, name, signal) {
      const subject = subjectOfBlob(reference, name);
      const answer = await send({ url: address("blobs", digest), subject, signal });
      if (answer.status !== 200) {
        answer.body.dump({ limit: MAX_ERROR_BYTES }).catch(() => {});
        throw blobFailure(answer, reference, name, session.hint);
      }
      const bytes = await readBody(answer, { most: size, subject, signal });
      const got = digestOf(bytes);
      if (got !== digest) throw wrongDigest(subject, digest, got);
      return bytes;
    },

    origin({ digest, size }, name) {
      const target = async (signal: AbortSignal): Promise<HttpTarget> => {
        const proof = await session.proof(signal);
        return {
          url: address("blobs", digest),
          token: proof,
          size,
          subject: subjectOfBlob(reference, name),
          refusal: (answer) => session.refused(proof, answer) ?? blobFailure(answer, reference, name, session.hint),
          immutable: digest,
        };
      };
      return {
        host: new URL(reference.origin).host,
        async open(request) {
          for (let tries = 1; ; tries += 1) {
            try {
              return await openRange(client, await target(request.signal), request);
            } catch (error) {
              if (!(error instanceof TokenRefused) || tries === TRIES) throw error;
            }
          }
        },
        route: client.proxied ? undefined : async (signal) => findRoute(client, await target(signal), signal),
      };
    },
  };
}

function digestOf(bytes: Buffer): Digest {
  return digestOfHex(createHash("sha256").update(bytes).digest("hex"));
}
