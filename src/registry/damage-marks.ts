import { and, asc, sql } from "drizzle-orm";
import type { Digest } from "../domain/digest.ts";
import type { Transaction } from "./database.ts";
import type { Changes } from "./events.ts";
import { versions } from "./schema/models.ts";
import { toVersion } from "./version-rows.ts";

const damaged = sql`(
  select coalesce(jsonb_agg(file.path order by file.path), '[]')
  from version_files file join blobs using (digest)
  where file.model_id = versions.model_id and file.version = versions.version and blobs.state = 'DAMAGED')`;

/** Marks the versions that name a blob, whose state has just changed, by what is damaged of them now; with events. */
export async function markVersions(tx: Transaction, changes: Changes, digest: Digest): Promise<void> {
  const namesIt = sql`(model_id, version) in (select model_id, version from version_files where digest = ${digest})`;
  // Locked before marks are computed: whoever held one of them may have marked it too.
  await tx
    .select({ one: sql`1` })
    .from(versions)
    .where(namesIt)
    .orderBy(asc(versions.modelId), asc(versions.version))
    .for("no key update");
  const marked = await tx
    .update(versions)
    .set({ damagedFiles: damaged })
    .where(and(namesIt, sql`${versions.damagedFiles} <> ${damaged}`))
    .returning();
  for (const row of marked) changes.add("UPDATED", "version", toVersion(row));
}
