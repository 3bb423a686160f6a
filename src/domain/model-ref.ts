import { invalidField } from "./errors.ts";
import { assertModelId, isName } from "./names.ts";

/** A model, and perhaps one of its versions by number or by alias. Without both, or with the alias `latest`, the newest is meant. */
export interface ModelRef {
  readonly modelId: string;
  readonly version?: number;
  readonly alias?: string;
}

const MAX_VERSION = 2 ** 31 - 1;

/** Reads a model reference (`id`, `id@alias` or `id@3`) that a request carries in `field`; FIELD_INVALID if it is none. */
export function parseModelRef(field: string, text: string): ModelRef {
  const at = text.indexOf("@");
  const modelId = at < 0 ? text : text.slice(0, at);
  assertModelId(field, modelId);
  if (at < 0) return { modelId };
  const name = text.slice(at + 1);
  if (/^\d+$/.test(name)) {
    const version = Number(name);
    if (version < 1 || version > MAX_VERSION) throw invalidField(field, `must name a version from 1 to ${MAX_VERSION}`);
    return { modelId, version };
  }
  if (!isName(name)) throw invalidField(field, "must have an alias or a version number after '@'");
  return name.toLowerCase() === "latest" ? { modelId } : { modelId, alias: name };
}

/** Prints a model reference as {@link parseModelRef} reads it. */
export function formatModelRef({ modelId, version, alias }: ModelRef): string {
  const name = version ?? alias;
  return name === undefined ? modelId : `${modelId}@${name}`;
}
