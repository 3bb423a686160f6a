import { and, not, or, type SQL, sql } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import type { Comparison, Filter } from "../domain/filter.ts";

/** The columns behind a filter's fields; ids are compared ignoring case. */
export type FilterColumns = Readonly<
  Record<string, { readonly type: "id" | "value" | "time" | "map"; readonly column: PgColumn }>
>;

/** Makes a condition of a filter, with every value as a parameter. It is true or false of any row, never null. */
export function compileFilter(filter: Filter | undefined, columns: FilterColumns): SQL | undefined {
  if (filter === undefined) return undefined;
  switch (filter.kind) {
    case "and":
      return and(...filter.operands.map((operand) => compileFilter(operand, columns)));
    case "or":
      return or(...filter.operands.map((operand) => compileFilter(operand, columns)));
    case "not":
      return not(compileFilter(filter.operand, columns) ?? sql`true`);
    case "compare":
      return compileComparison(filter, columns);
  }
}

const OPERATORS: Readonly<Record<Comparison["operator"], SQL | undefined>> = {
  "=": sql`=`,
  "!=": sql`<>`,
  "<": sql`<`,
  "<=": sql`<=`,
  ">": sql`>`,
  ">=": sql`>=`,
  has: undefined,
  prefix: undefined,
};

function compileComparison({ field, key, operator, value }: Comparison, columns: FilterColumns): SQL {
  const target = Object.hasOwn(columns, field) ? columns[field] : undefined;
  if (target === undefined) throw new Error(`the filter field ${field} has no column`);
  const { type, column } = target;
  if (type === "map") return compileMapComparison(column, key ?? "", operator, String(value));
  const text = String(value).toLowerCase();
  if (type === "id" && operator === "prefix") return sql`starts_with(lower(${column}), ${text})`;
  const comparison = OPERATORS[operator];
  if (comparison === undefined) throw new Error(`the filter field ${field} cannot be compared by ${operator}`);
  if (type === "id") return sql`lower(${column}) ${comparison} ${text}`;
  return sql`${column} ${comparison} ${value instanceof Date ? value.toISOString() : value}`;
}

function compileMapComparison(column: PgColumn, key: string, operator: Comparison["operator"], value: string): SQL {
  if (operator === "has") return sql`${column} ? ${key}`;
  if (operator === "prefix") return sql`coalesce(starts_with(${column} ->> ${key}, ${value}), false)`;
  const contains = sql`${column} @> ${JSON.stringify({ [key]: value })}::jsonb`;
  return operator === "!=" ? not(contains) : contains;
}
