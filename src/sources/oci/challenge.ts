/** What a registry asks for in the `www-authenticate` header of a refusal. */
export interface Challenge {
  readonly scheme: "basic" | "bearer";
  /** Where tokens are given out; absent for a bearer token that is had already. */
  readonly realm?: string;
  readonly service?: string;
  readonly scope?: string;
}

const PARAMETER = /([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/gi;
const SCHEME = new RegExp(
  `(?:^|,)\\s*(basic|bearer)(?:\\s+(${PARAMETER.source}(?:\\s*,\\s*${PARAMETER.source})*))?(?=\\s*(?:,|$))`,
  "gi",
);
/** Longer headers are no registry's. */
const MOST_CHARACTERS = 8192;

/** Reads a challenge: a bearer's, or else a basic one; undefined if there is none that is known. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  if (header === undefined || header.length > MOST_CHARACTERS) return undefined;
  const challenges = [...header.matchAll(SCHEME)].map(([, scheme = "", parameters = ""]): Challenge => {
    const said = new Map(
      [...parameters.matchAll(PARAMETER)].map(([, name = "", quoted, plain]) => [
        name.toLowerCase(),
        quoted?.replace(/\\(.)/g, "$1") ?? plain ?? "",
      ]),
    );
    const isBearer = scheme.toLowerCase() === "bearer";
    if (!isBearer) return { scheme: "basic" };
    return { scheme: "bearer", realm: said.get("realm"), service: said.get("service"), scope: said.get("scope") };
  });
  return challenges.find(({ scheme }) => scheme === "bearer") ?? challenges[0];
}
