import { DomainError } from "../../domain/errors.ts";
import { statusFailure } from "../outgoing/failures.ts";
import type { HttpAnswer } from "../outgoing/http-client.ts";
import type { HubRepository } from "./hub.ts";

/** What a hub's refusal means; it says so in a header, and without a token answers 401 for what is not there. */
export function hubFailure(
  { status, headers }: Pick<HttpAnswer, "status" | "headers">,
  { endpoint, repo, token }: HubRepository,
  asked: { readonly revision: string; readonly path?: string },
): DomainError {
  const metadata = { http_status: String(status) };
  const { host } = new URL(endpoint);
  const subject = `'${repo}' on ${host}`;
  switch (headers["x-error-code"]) {
    case "GatedRepo":
      return gatedRepository({ endpoint, repo, token }, metadata);
    case "RevisionNotFound":
      return new DomainError("SOURCE_REVISION_NOT_FOUND", `${subject} has no revision '${asked.revision}'`, {
        metadata,
      });
    case "EntryNotFound":
      return new DomainError("SOURCE_FILE_NOT_FOUND", `${subject} has no file '${asked.path ?? ""}'`, { metadata });
    case "RepoNotFound":
      return noRepository(subject, token, metadata);
  }
  if (status === 401 && /^invalid credentials/i.test(headers["x-error-message"] ?? "")) {
    return new DomainError("SOURCE_FORBIDDEN", `${host} does not accept the token it was given (401)`, { metadata });
  }
  if (asked.path === undefined && (status === 401 || status === 404)) return noRepository(subject, token, metadata);
  return statusFailure(status, headers, asked.path === undefined ? subject : `'${asked.path}' of ${subject}`);
}

/** SOURCE_FORBIDDEN for a repository whose conditions have to be accepted first. */
export function gatedRepository(
  { endpoint, repo, token }: HubRepository,
  metadata: Readonly<Record<string, string>> = {},
): DomainError {
  const { host } = new URL(endpoint);
  const remedy =
    token === undefined
      ? `accept its conditions on ${host} and give a token of that account (HF_TOKEN or a credential)`
      : `the account of the token given has to accept its conditions on ${host}`;
  return new DomainError("SOURCE_FORBIDDEN", `'${repo}' is gated: ${remedy}`, { metadata });
}

function noRepository(
  subject: string,
  token: string | undefined,
  metadata: Readonly<Record<string, string>>,
): DomainError {
  const hint = token === undefined ? "; if it is private, give a token" : ", or the token given may not see it";
  return new DomainError("SOURCE_NOT_FOUND", `there is no ${subject}${hint}`, { metadata });
}
