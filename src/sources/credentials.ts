import { invalidField } from "../domain/errors.ts";
import type { NamedCredential, NamedCredentials } from "../domain/ports/credentials.ts";
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
export function tokenFor(proof: NamedCredential | undefined, { host, hostname }: URL): string | undefined {
  if (proof?.hosts !== undefined && !proof.hosts.some((allowed) => allowed === host || allowed === hostname)) {
    throw invalidField("credential", `must not be used for '${host}': the operator keeps it for other hosts`);
  }
  return proof?.token;
}
