import { pgTable, text } from "drizzle-orm/pg-core";
import { moment } from "./columns.ts";

/** Work that one process does for all: who does it, for how long, and when it was done last. */
export const singletons = pgTable("singletons", {
  name: text("name").primaryKey(),
  owner: text("owner").notNull(),
  leaseExpireTime: moment("lease_expire_time").notNull(),
  lastRunTime: moment("last_run_time").notNull(),
});
