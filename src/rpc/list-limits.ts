import { type DescField, type DescMessage, getOption, type MessageShape } from "@bufbuild/protobuf";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { FieldViolation } from "../domain/errors.ts";

/**
 * The lists and maps of a message that have more elements than their rule allows. To be asked before the other rules,
 * which look at every element: two million empty ones fit into a message and would hold the process for many seconds.
 */
export function oversizedLists<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): FieldViolation[] {
  return [...oversizedBelow(schema, message as Fields, "")];
}

/** A message as what it holds by local names; one of a oneof is held by the oneof. */
type Fields = Readonly<Record<string, unknown>>;

function* oversizedBelow(desc: DescMessage, message: Fields, prefix: string): Generator<FieldViolation> {
  for (const field of desc.fields) {
    const path = `${prefix}${field.name}`;
    const value = fieldValue(message, field);
    if (value === undefined) continue;
    if (field.fieldKind === "message") yield* oversizedBelow(field.message, value as Fields, `${path}.`);
    if (field.fieldKind === "map" && Object.keys(value as object).length > limitOf(field)) {
      yield { field: path, description: `must have at most ${limitOf(field)} entries` };
    }
    if (field.fieldKind !== "list") continue;
    const elements = value as readonly unknown[];
    if (elements.length > limitOf(field)) {
      yield { field: path, description: `must have at most ${limitOf(field)} elements` };
    } else if (field.listKind === "message") {
      for (const [index, element] of elements.entries()) {
        yield* oversizedBelow(field.message, element as Fields, `${path}[${index}].`);
      }
    }
  }
}

function fieldValue(message: Fields, { oneof, localName }: DescField): unknown {
  if (oneof === undefined) return message[localName];
  const { case: set, value } = message[oneof.localName] as { case?: string; value?: unknown };
  return set === localName ? value : undefined;
}

/** Options are decoded anew each time that they are asked for. */
const limits = new Map<DescField, number>();

function limitOf(field: DescField): number {
  const known = limits.get(field);
  if (known !== undefined) return known;
  const { type } = getOption(field, fieldRules);
  const rule = type.case === "repeated" ? type.value.maxItems : type.case === "map" ? type.value.maxPairs : 0n;
  const limit = rule === 0n ? Number.POSITIVE_INFINITY : Number(rule);
  limits.set(field, limit);
  return limit;
}
