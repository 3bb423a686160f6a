import { invalidField } from "./errors.ts";

const SEGMENT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$/;
const SEGMENT_RULE = "1 to 96 characters of [A-Za-z0-9._-] that start with a letter or digit, without '..'";

/** First segments that belong to the HTTP surface, so that no model's address can hide one of its own. */
const RESERVED_FIRST = new Set(
  "api v1 v2 models model workers downloads deployments assignments blobs docs console health healthz livez readyz metrics openapi.json grpc assets static favicon.ico robots.txt".split(
    " ",
  ),
);

/** Second segments that name a sub-resource of a model. */
const RESERVED_SECOND = new Set(
  "versions aliases downloads resolve tree refs revision raw blobs manifests tags endpoints events".split(" "),
);

/** Whether `text` is a name of one segment: a worker's or a deployment's id, an alias, a credential's name. */
export function isName(text: string): boolean {
  return SEGMENT.test(text) && !text.includes("..");
}

/** Checks a name of one segment that a request carries in `field`; FIELD_INVALID if it is none. */
export function assertName(field: string, text: string): void {
  if (!isName(text)) throw invalidField(field, `must be ${SEGMENT_RULE}`);
}

/** Whether `text` has the form of a model id. */
export function isModelId(text: string): boolean {
  const segments = text.split("/");
  return segments.length <= 2 && segments.every(isName);
}

/** Checks a model id that a request carries in `field`; FIELD_INVALID with the rule that it breaks. */
export function assertModelId(field: string, id: string): void {
  if (!isModelId(id)) {
    throw invalidField(field, `must be one or two segments joined by '/', each ${SEGMENT_RULE}`);
  }
  const [first = "", second] = id.split("/").map((segment) => segment.toLowerCase());
  if (RESERVED_FIRST.has(first)) throw invalidField(field, `must not start with the reserved word '${first}'`);
  if (second !== undefined && RESERVED_SECOND.has(second)) {
    throw invalidField(field, `must not have the reserved word '${second}' as its second segment`);
  }
}

/** Checks an alias that a request carries in `field`: a name that is not all digits and not `latest`. */
export function assertAlias(field: string, alias: string): void {
  assertName(field, alias);
  if (/^\d+$/.test(alias)) throw invalidField(field, "must not be all digits: those are version numbers");
  if (alias.toLowerCase() === "latest")
    throw invalidField(field, "must not be 'latest': it always names the newest version");
}
