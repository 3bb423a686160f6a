import { DOWNLOAD_STATES } from "./download.ts";
import type { Comparison, Filter } from "./filter.ts";
import { FilterScanner, type WrittenValue } from "./filter-scanner.ts";
import { MODEL_STATUSES, MODEL_TYPES } from "./model.ts";
import { WORKER_STATUSES } from "./worker.ts";

/** What a field of a filter holds, and with it how it can be compared. */
type FilterField =
  /** A text; `=` and `!=`, where an asterisk at the end stands for any ending. Ids are compared ignoring case. */
  | { readonly type: "id" }
  /** One of the contract's enum values, with or without its prefix; `=` and `!=`. */
  | { readonly type: "enum"; readonly values: readonly string[]; readonly prefix: string }
  /** `true` or `false`; `=` and `!=`. */
  | { readonly type: "boolean" }
  /** An RFC 3339 time; all comparisons. */
  | { readonly type: "time" }
  /** Texts by their keys; `field.key = "text"`, and `field:key` asks whether the key is there. */
  | { readonly type: "map" };

/** The fields that a filter may name. */
export type FilterFields = Readonly<Record<string, FilterField>>;

const TIMES = { create_time: { type: "time" }, update_time: { type: "time" } } as const;

/** What ListModels and WatchModels can filter by. */
export const MODEL_FILTER_FIELDS: FilterFields = {
  id: { type: "id" },
  type: { type: "enum", values: MODEL_TYPES, prefix: "MODEL_TYPE_" },
  status: { type: "enum", values: MODEL_STATUSES, prefix: "MODEL_STATUS_" },
  labels: { type: "map" },
  ...TIMES,
};

/** What ListDownloads can filter by. */
export const DOWNLOAD_FILTER_FIELDS: FilterFields = {
  model_id: { type: "id" },
  state: { type: "enum", values: DOWNLOAD_STATES, prefix: "DOWNLOAD_STATE_" },
  ...TIMES,
};

/** What ListWorkers and WatchWorkers can filter by. */
export const WORKER_FILTER_FIELDS: FilterFields = {
  id: { type: "id" },
  status: { type: "enum", values: WORKER_STATUSES, prefix: "WORKER_STATUS_" },
  cordoned: { type: "boolean" },
  draining: { type: "boolean" },
  labels: { type: "map" },
  ...TIMES,
};

const MAX_LENGTH = 4096;
const MAX_DEPTH = 32;
const ORDERINGS: readonly string[] = ["<", "<=", ">", ">="];
const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

/**
 * Reads a filter: comparisons joined by `AND`, `OR` and `NOT` (or `-`) with parentheses, where, as AIP-160 has it, `OR`
 * binds tighter than `AND`. Empty text is no filter.
 *
 * @throws DomainError FILTER_INVALID with the column, from 1, of what is wrong and what was expected there.
 */
export function parseFilter(text: string, fields: FilterFields): Filter | undefined {
  const scanner = new FilterScanner(text);
  if (text.length > MAX_LENGTH) throw scanner.error(`must have at most ${MAX_LENGTH} characters`, MAX_LENGTH);
  if (scanner.ended) return undefined;
  const filter = new FilterParser(scanner, fields).expression(0);
  if (!scanner.ended) throw scanner.expected("AND, OR or the end");
  return filter;
}

class FilterParser {
  readonly #scanner: FilterScanner;
  readonly #fields: FilterFields;

  constructor(scanner: FilterScanner, fields: FilterFields) {
    this.#scanner = scanner;
    this.#fields = fields;
  }

  expression(depth: number): Filter {
    if (depth > MAX_DEPTH) throw this.#scanner.error(`must not be nested deeper than ${MAX_DEPTH}`);
    return this.#joined("AND", "and", () => this.#joined("OR", "or", () => this.#term(depth)));
  }

  #joined(keyword: string, kind: "and" | "or", operand: () => Filter): Filter {
    const first = operand();
    const operands = [first];
    while (this.#scanner.keyword(keyword)) operands.push(operand());
    return operands.length === 1 ? first : { kind, operands };
  }

  #term(depth: number): Filter {
    if (this.#scanner.keyword("NOT") || this.#scanner.mark("-")) {
      return { kind: "not", operand: this.#simple(depth) };
    }
    return this.#simple(depth);
  }

  #simple(depth: number): Filter {
    if (!this.#scanner.mark("(")) return this.#comparison();
    const inner = this.expression(depth + 1);
    if (!this.#scanner.mark(")")) throw this.#scanner.expected("AND, OR or ')'");
    return inner;
  }

  #comparison(): Filter {
    const scanner = this.#scanner;
    const start = scanner.index;
    const path = scanner.path();
    if (path === undefined) throw scanner.expected("a field's name");
    const { name, key } = path;
    const field = Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
    if (field === undefined) {
      throw scanner.error(`there is no field '${name}' here, but ${Object.keys(this.#fields).join(", ")}`, start);
    }
    if (key !== undefined && field.type !== "map") throw scanner.error(`'${name}' has no keys`, start);

    const operatorStart = scanner.index;
    const operators = operatorsOf(field);
    const operator = scanner.operator();
    if (operator === undefined) throw scanner.expected(`one of ${operators.join(" ")} after '${name}'`);
    if (!operators.includes(operator)) {
      throw scanner.error(`'${name}' can be compared with ${operators.join(" ")} only`, operatorStart);
    }
    const valueStart = scanner.index;
    const value = scanner.value();
    if (value === undefined) throw scanner.expected("a value");

    if (field.type === "map") return mapComparison(scanner, { name, key, operator, value, start, valueStart });
    if (field.type === "id") return textComparison({ kind: "compare", field: name }, operator, value);
    if (value.prefix) throw scanner.error(`'${name}' takes no '*'`, valueStart);
    return {
      kind: "compare",
      field: name,
      operator: operator as Comparison["operator"],
      value: readValue(scanner, name, field, value.text, valueStart),
    };
  }
}

function operatorsOf(field: FilterField): readonly string[] {
  if (field.type === "time") return ["=", "!=", ...ORDERINGS];
  return field.type === "map" ? ["=", "!=", ":"] : ["=", "!="];
}

interface MapComparison {
  readonly name: string;
  readonly key: string | undefined;
  readonly operator: string;
  readonly value: WrittenValue;
  readonly start: number;
  readonly valueStart: number;
}

function mapComparison(scanner: FilterScanner, comparison: MapComparison): Filter {
  const { name, key, operator, value, start, valueStart } = comparison;
  if (key !== undefined) {
    const any = operator === ":" && value.prefix && value.text === "";
    if (any) return { kind: "compare", field: name, key, operator: "has", value: "" };
    return textComparison({ kind: "compare", field: name, key }, operator === ":" ? "=" : operator, value);
  }
  if (operator !== ":") throw scanner.error(`'${name}' needs a key, as in ${name}.key ${operator} "text"`, start);
  if (value.prefix) throw scanner.error("a key takes no '*'", valueStart);
  return { kind: "compare", field: name, key: value.text, operator: "has", value: "" };
}

function textComparison(
  target: Pick<Comparison, "kind" | "field" | "key">,
  operator: string,
  { text, prefix }: WrittenValue,
): Filter {
  if (!prefix) return { ...target, operator: operator === "!=" ? "!=" : "=", value: text };
  const comparison: Comparison = { ...target, operator: "prefix", value: text };
  return operator === "!=" ? { kind: "not", operand: comparison } : comparison;
}

function readValue(
  scanner: FilterScanner,
  name: string,
  field: Exclude<FilterField, { type: "id" | "map" }>,
  text: string,
  index: number,
): string | boolean | Date {
  switch (field.type) {
    case "enum": {
      const value = text.startsWith(field.prefix) ? text.slice(field.prefix.length) : text;
      if (field.values.includes(value)) return value;
      throw scanner.error(`'${name}' is one of ${field.values.join(", ")}`, index);
    }
    case "boolean":
      if (text === "true" || text === "false") return text === "true";
      throw scanner.error(`'${name}' is true or false`, index);
    case "time": {
      const time = readTime(text);
      if (time !== undefined) return time;
      throw scanner.error(`'${name}' is an RFC 3339 time such as "2026-01-31T00:00:00Z"`, index);
    }
  }
}

/** A time of the years 1 to 9999; `Date` alone would take 30 February for 2 March. */
function readTime(text: string): Date | undefined {
  const [, year, month, day, hour, minute, second] = RFC_3339.exec(text)?.map(Number) ?? [];
  if (year === undefined || month === undefined || day === undefined) return undefined;
  if (month < 1 || month > 12 || day < 1 || day > new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate()) {
    return undefined;
  }
  if (hour === undefined || hour > 23 || (minute ?? 60) > 59 || (second ?? 60) > 59) return undefined;
  const time = new Date(text.toUpperCase());
  const utcYear = time.getUTCFullYear();
  return utcYear >= 1 && utcYear <= 9999 ? time : undefined;
}
