/** A filter that was read and checked: a small part of AIP-160. */
export type Filter =
  | { readonly kind: "and" | "or"; readonly operands: readonly Filter[] }
  | { readonly kind: "not"; readonly operand: Filter }
  | Comparison;

/** One comparison of a field with a value. */
export interface Comparison {
  readonly kind: "compare";
  /** The field's name in the contract. */
  readonly field: string;
  /** The key, if the field is a map such as `labels`. */
  readonly key?: string;
  /** `has` asks whether the key of a map is there; `prefix` is written as `= "text*"`. */
  readonly operator: "=" | "!=" | "<" | "<=" | ">" | ">=" | "has" | "prefix";
  /** A time for fields of time, a boolean for flags, else a text; enum values without their prefix. */
  readonly value: string | boolean | Date;
}
