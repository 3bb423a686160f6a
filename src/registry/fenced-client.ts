import { setImmediate } from "node:timers/promises";
import type postgres from "postgres";
import { override } from "./override.ts";

/**
 * The same client, but that nothing of a transaction is sent once its connection has ended. The driver would still send
 * its later statements, and COMMIT or ROLLBACK: to no socket, which throws where nobody can catch it and ends the
 * process, or into whatever transaction runs on that connection after it was made anew.
 *
 * A transaction whose connection ended rejects with the driver's error, after its work has settled.
 */
export function fencingTransactions(client: postgres.Sql): postgres.Sql {
  return override(client, "begin", async (work: (tx: postgres.TransactionSql) => unknown) => {
    let ended = false;
    let running: Promise<unknown> = Promise.resolve();
    const transaction = client.begin((tx) => {
      running = (async () =>
        await work(
          override(
            tx,
            "unsafe",
            fenced(tx, () => ended),
          ),
        ))();
      // Left open for ever where the connection has ended, so that the driver sends nothing more.
      return new Promise((resolve, reject) => {
        running.then(
          (result) => ended || resolve(result),
          async (error) => {
            // The end of a connection rejects the statement that runs before it rejects the transaction.
            await setImmediate();
            if (!ended) reject(error);
          },
        );
      });
    });
    try {
      return await transaction;
    } catch (error) {
      ended = true;
      await running.catch(() => {});
      throw error;
    }
  });
}

/** A statement after the end fails at once; as the driver's own do, it begins when it is awaited. */
function fenced(tx: postgres.TransactionSql, ended: () => boolean) {
  return (...statement: Parameters<postgres.TransactionSql["unsafe"]>) => {
    if (ended()) throw new Error("the connection of this transaction has ended");
    return tx.unsafe(...statement);
  };
}
