import type postgres from "postgres";
import { override } from "./override.ts";

/**
 * The same client, but that every query in its transactions is a prepared statement, kept with its connection. Else each
 * query with parameters takes two trips to the server, also while a transaction holds locks (measured: 3 times the writes).
 *
 * Only for queries whose text is one of a few: each text is kept for as long as the connection lives.
 */
export function preparingTransactions(client: postgres.Sql): postgres.Sql {
  return override(client, "begin", (work: (tx: postgres.TransactionSql) => unknown) =>
    client.begin((tx) => work(override(tx, "unsafe", prepared(tx)))),
  );
}

function prepared(tx: postgres.TransactionSql) {
  return (query: string, parameters?: Parameters<postgres.TransactionSql["unsafe"]>[1]) =>
    tx.unsafe(query, parameters, { prepare: true });
}
