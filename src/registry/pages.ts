import { type SQL, sql } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import type { Page, PageRequest } from "../domain/page.ts";
import type { Database, Executor } from "./database.ts";
import { currentSequence } from "./events.ts";
import { decodePageToken, encodePageToken, type KeyValue } from "./page-token.ts";

const MAX_PAGE_SIZE = 1000;

/** The columns that a list is ordered by: all the same way, and together unique. */
export interface Keyset {
  readonly columns: readonly PgColumn[];
  readonly descending: boolean;
}

/** What a list is made of. */
export interface ListQuery<Row, Counts extends { totalSize: number }> {
  /** All that a page token belongs to: the list, its filter, its order. */
  readonly identity: unknown;
  readonly keyset: Keyset;
  /** The key of a row, in the order of the keyset's columns. */
  readonly keyOf: (row: Row) => readonly (KeyValue | Date)[];
  /** How many match; asked for with the first page alone. */
  readonly count: (executor: Executor) => Promise<Counts>;
  /** The rows that match and come after, at most `limit`, in order. */
  readonly rows: (executor: Executor, page: { after: SQL | undefined; order: SQL; limit: number }) => Promise<Row[]>;
}

/** Reads a page. The first one takes counts and event sequence from the same snapshot as its rows, and the tokens keep them. */
export async function readPage<Row, Counts extends { totalSize: number }>(
  database: Database,
  request: PageRequest,
  query: ListQuery<Row, Counts>,
): Promise<Page<Row> & Counts> {
  const size = Math.min(Math.max(Math.trunc(request.size), 1), MAX_PAGE_SIZE);
  const order = orderBy(query.keyset);
  const page = (rows: Row[], counts: Counts & { sequence: number }): Page<Row> & Counts => {
    const items = rows.slice(0, size);
    const last = items.at(-1);
    const more = rows.length > size && last !== undefined;
    const nextToken = more ? encodePageToken(query.identity, { key: keyValues(query.keyOf(last)), counts }) : "";
    return { items, nextToken, ...counts };
  };

  if (request.token === "") {
    return await database.snapshot(async (tx) => {
      const counts = { ...(await query.count(tx)), sequence: await currentSequence(tx) };
      return page(await query.rows(tx, { after: undefined, order, limit: size + 1 }), counts);
    });
  }
  const position = decodePageToken(query.identity, request.token);
  const after = comesAfter(query.keyset, position.key);
  const rows = await database.read((db) => query.rows(db, { after, order, limit: size + 1 }));
  return page(rows, position.counts as Counts & { sequence: number });
}

function orderBy({ columns, descending }: Keyset): SQL {
  const direction = sql.raw(descending ? "desc" : "asc");
  return sql.join(
    columns.map((column) => sql`${column} ${direction}`),
    sql`, `,
  );
}

/** A comparison of whole rows, which PostgreSQL answers from the index of these columns. */
function comesAfter({ columns, descending }: Keyset, key: readonly KeyValue[]): SQL {
  const values = columns.map((column, index) => {
    const value = key[index];
    return sql`${column.dataType === "date" && typeof value === "number" ? new Date(value).toISOString() : value}`;
  });
  const operator = sql.raw(descending ? "<" : ">");
  return sql`(${sql.join([...columns], sql`, `)}) ${operator} (${sql.join(values, sql`, `)})`;
}

function keyValues(key: readonly (KeyValue | Date)[]): KeyValue[] {
  return key.map((value) => (value instanceof Date ? value.getTime() : value));
}
