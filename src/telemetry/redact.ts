const SECRET_KEY =
  /token|authorization|credential|password|passwd|secret|cookie|api[-_]?key|signature|^params$|^parameters$/i;
const REDACTED = "[redacted]";

/** Whether what stands under `key` is a secret by its name. */
export function isSecretKey(key: string): boolean {
  return SECRET_KEY.test(key);
}

/** What is written in place of the value under a secret key. */
export function redactValue(value: unknown): unknown {
  // Whether there is one, and how many there are, is no secret.
  if (value === undefined || value === null || typeof value === "boolean" || typeof value === "number") return value;
  return value === "" ? value : REDACTED;
}

const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, `$1 ${REDACTED}`],
  [/\bhf_[A-Za-z0-9]{4,}/g, `hf_${REDACTED}`],
  // Names and passwords in addresses, of databases too.
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#@"'<>]*@/gi, `$1${REDACTED}@`],
  // The query of a signed URL is as good as a password; which ones are signed cannot be told for sure.
  [/\b(https?:\/\/[^\s?#"'<>]*)\?[^\s"'<>]*/gi, `$1?${REDACTED}`],
  // Failed statements print the values that they were run with.
  [/(\nparams: )[^\n]*/g, `$1${REDACTED}`],
];

/** Takes secrets out of a text: bearer tokens, hub tokens, passwords and queries of URLs, parameters of statements. */
export function redactText(text: string): string {
  return PATTERNS.reduce((result, [pattern, replacement]) => result.replace(pattern, replacement), text);
}
