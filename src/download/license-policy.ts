import { DomainError } from "../domain/errors.ts";

/** How a policy names the license of a source that says none. */
const UNKNOWN = "unknown";

/**
 * Checks a source's license against those that the operator allows, in whatever case; none are named, all are allowed.
 * LICENSE_NOT_ALLOWED for any other, and for a source that says none unless `unknown` is allowed.
 */
export function assertLicense(license: string, allowed: readonly string[] | undefined): void {
  const name = license.toLowerCase() || UNKNOWN;
  if (allowed === undefined || allowed.includes(name)) return;
  const subject = license === "" ? "the source says no license" : `the source's license is '${license}'`;
  const addition = license === "" ? `'${UNKNOWN}' there to allow that` : "it there";
  throw new DomainError(
    "LICENSE_NOT_ALLOWED",
    `${subject}, and the operator allows ${allowed.join(", ")} alone (MODEL_MANAGER_ALLOWED_LICENSES); name ${addition}`,
    { metadata: { license: name } },
  );
}
