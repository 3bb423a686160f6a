import { type Digest, digestOfHex } from "../../domain/digest.ts";
import { DomainError, invalidField } from "../../domain/errors.ts";

/** An artifact in a registry. */
export interface OciReference {
  /** The registry's address: scheme, host and port. */
  readonly origin: string;
  readonly host: string;
  readonly repository: string;
  /** What is asked for: a tag, or the digest of a manifest. */
  readonly target: OciTarget;
}

/** A manifest by its name, which may come to mean another one, or by its digest. */
export type OciTarget = { readonly tag: string } | { readonly digest: Digest };

const RULE =
  "must be <host>[:<port>]/<repository>[:<tag>][@sha256:<64 hex digits>], such as ghcr.io/org/model:v1; the host cannot be left out";

const REFERENCE = /^(?:(https?):\/\/)?([^/@\s]+)\/([^:@\s]+)(?::([^:@\s]+))?(?:@(\S+))?$/;
const HOST = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?$/;
/** As the distribution specification has it, and capitals too: some registries serve repositories of other services. */
const REPOSITORY = /^[A-Za-z0-9]+(?:(?:\.|_|__|-+)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:\.|_|__|-+)[A-Za-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^sha256:([0-9a-f]{64})$/;
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i;
const DEFAULT_TAG = "latest";

/**
 * Reads a reference that a source names in `field`; the tag is `latest` where neither a tag nor a digest is said, and a digest
 * wins over a tag. Registries are asked by https, but for those on loopback, as other tools do, and those that are written
 * with `http://`. FIELD_INVALID for what is no reference.
 */
export function parseOciReference(field: string, text: string): OciReference {
  const [, scheme, host = "", repository = "", tag, digest] = REFERENCE.exec(text) ?? [];
  // A first part like `library` is a host to nobody but the one registry that has short names.
  const isHost = HOST.test(host) && (scheme !== undefined || /[.:]/.test(host) || host === "localhost");
  const url = `${scheme ?? (LOOPBACK.test(host) ? "http" : "https")}://${host}`;
  if (!isHost || !URL.canParse(url) || !REPOSITORY.test(repository) || repository.length > 255) {
    throw invalidField(field, RULE);
  }
  const target = targetOf(digest ?? tag ?? DEFAULT_TAG);
  const isTag = tag === undefined || TAG.test(tag);
  if (target === undefined || !isTag || (digest !== undefined && "tag" in target)) throw invalidField(field, RULE);
  const { origin, host: normalHost } = new URL(url);
  return { origin, host: normalHost, repository, target };
}

/** Reads a revision: a tag or a digest; FIELD_INVALID. */
export function parseOciRevision(field: string, text: string): OciTarget {
  const target = targetOf(text);
  if (target === undefined)
    throw invalidField(field, "must be a tag, or the digest of a manifest as sha256:<64 hex digits>");
  return target;
}

/** A target as the registry's addresses and messages have it. */
export function nameOfTarget(target: OciTarget): string {
  return "tag" in target ? target.tag : target.digest;
}

/** An artifact as messages name it. */
export function nameOfReference({ host, repository, target }: OciReference): string {
  return `'${host}/${repository}${"tag" in target ? ":" : "@"}${nameOfTarget(target)}'`;
}

function targetOf(text: string): OciTarget | undefined {
  const [, hex] = DIGEST.exec(text) ?? [];
  if (hex !== undefined) return { digest: digestOfHex(hex) };
  return TAG.test(text) ? { tag: text } : undefined;
}

/** The error for an answer that no registry should give; asked again, it would give the same. */
export function misunderstood({ host }: Pick<OciReference, "host">, what: string, cause?: unknown): DomainError {
  return new DomainError("SOURCE_UNAVAILABLE", `the registry ${host} ${what}`, { cause });
}
