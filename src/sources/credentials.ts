import { invalidField } from "../domain/errors.ts";
import type { AccessKey, NamedCredential, NamedCredentials } from "../domain/ports/credentials.ts";
import type { Credential } from "../domain/source.ts";

/** What a call proves itself with, or else what the source names; undefined if neither says anything. */
export async function proofOf(
  named: NamedCredentials,
  fromCall: Credential | undefined,
  fromSource: string,
): Promise<NamedCredential | undefined> {
  if (fromCall !== undefined && "token" in fromCall) return { token: fromCall.token };
  const name = fromCall?.name ?? fromSource;
  return name === "" ? undefined : named.find("credential", name);
}

/** The token for an address; FIELD_INVALID if the operator keeps it from that host. */
export function tokenFor(proof: NamedCredential | undefined, url: URL): string | undefined {
  assertMeantFor(proof, url);
  if (proof?.accessKey !== undefined)
    throw invalidField("credential", "must be a token: an access key is for S3 alone");
  return proof?.token;
}

/**
 * What requests to a server that speaks S3 are signed with; FIELD_INVALID if the operator keeps it from that host. A token stands
 * for a key in the form `<access key id>:<secret access key>`, perhaps with `:<session token>`.
 */
export function accessKeyFor(proof: NamedCredential | undefined, url: URL): AccessKey | undefined {
  assertMeantFor(proof, url);
  if (proof?.token === undefined) return proof?.accessKey;
  const [accessKeyId, secretAccessKey, sessionToken, ...more] = proof.token.split(":");
  if (!accessKeyId || !secretAccessKey || more.length > 0) {
    throw invalidField("credential", "must be an access key for S3: '<access key id>:<secret access key>' as a token");
  }
  return { accessKeyId, secretAccessKey, sessionToken };
}

function assertMeantFor(proof: NamedCredential | undefined, { host, hostname }: URL): void {
  if (proof?.hosts !== undefined && !proof.hosts.some((allowed) => allowed === host || allowed === hostname)) {
    throw invalidField("credential", `must not be used for '${host}': the operator keeps it for other hosts`);
  }
}
