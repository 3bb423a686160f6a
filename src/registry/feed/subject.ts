import type { SQL } from "drizzle-orm";
import type { FilterFields } from "../../domain/parse-filter.ts";
import type { Change, Named, Resources } from "../../domain/ports/feeds.ts";
import type { Transaction } from "../database.ts";
import type { FilterColumns } from "../filter-sql.ts";

/** What a watch is about: roots, which its filter is for, and the parts that belong to them. */
export interface Subject {
  readonly root: "model" | "worker";
  readonly parts: readonly (keyof Resources)[];
  readonly filterFields: FilterFields;
  readonly filterColumns: FilterColumns;
  /** The id of the root that a change of root or part is about; undefined if it is about something else. */
  rootOf(change: Change): string | undefined;
  /** The condition that a row is the root with this id. */
  isRoot(id: string): SQL;
  readRootIds(tx: Transaction, matches: SQL | undefined): Promise<readonly string[]>;
  readRoots(tx: Transaction, matches: SQL | undefined): Promise<readonly Named[]>;
  /** The parts of the roots that match. */
  readParts(tx: Transaction, matches: SQL | undefined): Promise<readonly Named[]>;
}
