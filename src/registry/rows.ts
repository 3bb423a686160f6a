import { sql } from "drizzle-orm";
import { DomainError } from "../domain/errors.ts";

/** The database's clock now, also inside of a transaction that had to wait: later changes of a row have later times. */
export const clock = sql`clock_timestamp()`;

/** The etag of a row: another one after each change, and for another row of the same name. */
export function etagOf(row: { createTime: Date; revision: number }): string {
  return `${row.createTime.getTime().toString(36)}-${row.revision.toString(36)}`;
}

/** ETAG_MISMATCH unless `etag` is empty or the row's own. */
export function assertEtag(what: string, row: { createTime: Date; revision: number }, etag: string): void {
  if (etag !== "" && etag !== etagOf(row)) {
    throw new DomainError("ETAG_MISMATCH", `${what} has changed since this etag was read: read it again`);
  }
}

/** Rows for a statement that takes many: `from jsonb_to_recordset(…) as <as> (<columns>)`. */
export function recordset(rows: readonly object[], as: string, columns: string) {
  return sql`jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as ${sql.raw(`${as} (${columns})`)}`;
}

/** A list of texts for `= any(…)`, as one parameter. */
export function textArray(values: readonly string[]) {
  return sql`array(select jsonb_array_elements_text(${JSON.stringify(values)}::jsonb))`;
}
