import type { Comparison, Filter } from "./filter.ts";
import type { FilterFields } from "./parse-filter.ts";

/** Whether a resource is one that a filter means: the same that the database answers for its row. */
export function matchesFilter(filter: Filter | undefined, fields: FilterFields, resource: object): boolean {
  if (filter === undefined) return true;
  switch (filter.kind) {
    case "and":
      return filter.operands.every((operand) => matchesFilter(operand, fields, resource));
    case "or":
      return filter.operands.some((operand) => matchesFilter(operand, fields, resource));
    case "not":
      return !matchesFilter(filter.operand, fields, resource);
    case "compare":
      return matchesComparison(filter, fields, resource);
  }
}

function matchesComparison(
  { field, key, operator, value }: Comparison,
  fields: FilterFields,
  resource: object,
): boolean {
  const type = Object.hasOwn(fields, field) ? fields[field]?.type : undefined;
  if (type === undefined) throw new Error(`there is no filter field ${field}`);
  const actual: unknown = Reflect.get(resource, camelCase(field));
  if (type === "map") {
    const entries = actual as Readonly<Record<string, string>>;
    return compare(Object.hasOwn(entries, key ?? "") ? entries[key ?? ""] : undefined, operator, value);
  }
  if (type === "id") return compare(String(actual).toLowerCase(), operator, String(value).toLowerCase());
  return compare(comparable(actual), operator, comparable(value));
}

function compare(actual: unknown, operator: Comparison["operator"], value: unknown): boolean {
  switch (operator) {
    case "=":
      return actual === value;
    case "!=":
      return actual !== value;
    case "<":
      return Number(actual) < Number(value);
    case "<=":
      return Number(actual) <= Number(value);
    case ">":
      return Number(actual) > Number(value);
    case ">=":
      return Number(actual) >= Number(value);
    case "has":
      return actual !== undefined;
    case "prefix":
      return typeof actual === "string" && actual.startsWith(String(value));
  }
}

function comparable(value: unknown): unknown {
  return value instanceof Date ? value.getTime() : value;
}

function camelCase(field: string): string {
  return field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
