import { invalidField } from "../domain/errors.ts";

/** The fields of a resource that an update may change: how to read each from the request, and whether it is set there. */
export type MutableFields<Message, Changes> = {
  readonly [Path in string]: {
    /** Whether the field is set, for requests without a mask. */
    isSet(message: Message): boolean;
    read(message: Message): Changes;
  };
};

/**
 * What an update changes, by AIP-134: the fields that the mask names; all that are set if there is no mask; all mutable
 * ones for `*`. FIELD_INVALID on `update_mask` for a path that cannot be changed.
 */
export function selectChanges<Message, Changes extends object>(
  message: Message,
  mask: { readonly paths: readonly string[] } | undefined,
  fields: MutableFields<Message, Changes>,
): Changes {
  const known = Object.keys(fields);
  const paths = mask?.paths.length ? mask.paths : known.filter((path) => fields[path]?.isSet(message));
  const selected = paths.includes("*") ? known : paths;
  const changes = selected.map((path) => {
    const field = Object.hasOwn(fields, path) ? fields[path] : undefined;
    if (!field) throw invalidField("update_mask", `must name only ${known.join(", ")}, or be '*'; not '${path}'`);
    return field.read(message);
  });
  return Object.assign({}, ...changes) as Changes;
}
