import { z } from "zod";
import type { Digest } from "../../domain/digest.ts";
import { DomainError } from "../../domain/errors.ts";
import { statusFailure } from "../outgoing/failures.ts";
import type { HttpAnswer } from "../outgoing/http-client.ts";
import { nameOfReference, nameOfTarget, type OciReference, type OciTarget } from "./reference.ts";

const ERRORS = z.object({ errors: z.array(z.object({ code: z.string() })).min(1) });

/** The code that a registry's refusal carries in its body, such as MANIFEST_UNKNOWN; undefined if it has none. */
export function codeOf(body: unknown): string | undefined {
  return ERRORS.safeParse(body).data?.errors[0]?.code;
}

/** What a refusal of a manifest means; `code` is what its body says, `hint` what may be done about it. */
export function manifestFailure(
  { status, headers }: Pick<HttpAnswer, "status" | "headers">,
  reference: OciReference,
  target: OciTarget,
  { code, hint }: { readonly code: string | undefined; readonly hint: string },
): DomainError {
  const metadata = { http_status: String(status) };
  const { host, repository } = reference;
  if (status === 404 && code === "MANIFEST_UNKNOWN") {
    const what = "tag" in target ? "tag" : "manifest";
    return new DomainError(
      "SOURCE_REVISION_NOT_FOUND",
      `the registry ${host} has no ${what} '${nameOfTarget(target)}' in '${repository}'`,
      { metadata },
    );
  }
  const subject = nameOfReference({ ...reference, target });
  if (status === 404) return new DomainError("SOURCE_NOT_FOUND", `${subject} is not there (404)${hint}`, { metadata });
  return forbidden(status, subject, hint) ?? statusFailure(status, headers, subject);
}

/** What a refusal of a blob means, which messages call `name`. */
export function blobFailure(
  { status, headers }: Pick<HttpAnswer, "status" | "headers">,
  reference: OciReference,
  name: string,
  hint: string,
): DomainError {
  const subject = subjectOfBlob(reference, name);
  return forbidden(status, subject, hint) ?? statusFailure(status, headers, subject);
}

/** A blob as messages name it. */
export function subjectOfBlob({ host, repository }: OciReference, name: string): string {
  return `'${name}' of '${repository}' on ${host}`;
}

/** CONTENT_MISMATCH for bytes that are not those of the digest that was asked for. */
export function wrongDigest(what: string, expected: Digest, got: string): DomainError {
  return new DomainError("CONTENT_MISMATCH", `${what} does not match its digest: expected ${expected}, got ${got}`, {
    metadata: { expected, got },
  });
}

function forbidden(status: number, subject: string, hint: string): DomainError | undefined {
  if (status !== 401 && status !== 403) return undefined;
  return new DomainError(
    "SOURCE_FORBIDDEN",
    `${subject} may not be read with the credentials given (${status})${hint}`,
    { metadata: { http_status: String(status) } },
  );
}
