import { asc, eq } from "drizzle-orm";
import { isTerminal } from "../domain/download.ts";
import { DomainError } from "../domain/errors.ts";
import { toAssignment } from "./assignment-rows.ts";
import { releaseBlobs } from "./blob-records.ts";
import { endDownload } from "./change-download.ts";
import type { Database } from "./database.ts";
import { toDownload } from "./download-rows.ts";
import { lockModel, readModel } from "./model-rows.ts";
import { assertEtag } from "./rows.ts";
import { downloads } from "./schema/downloads.ts";
import { aliases, models, versions } from "./schema/models.ts";
import { assignments } from "./schema/workers.ts";
import { digestsOf, toVersion } from "./version-rows.ts";

/** See `Models.delete`. Blobs stay: names go first, bytes later. */
export async function deleteModel(
  database: Database,
  modelId: string,
  { etag, force }: { etag: string; force: boolean },
): Promise<void> {
  await database.transact(async (tx, changes) => {
    const row = await lockModel(tx, modelId);
    assertEtag(`model '${row.id}'`, row, etag);
    const model = await readModel(tx, row.id);

    const jobs = await tx
      .select()
      .from(downloads)
      .where(eq(downloads.modelId, row.id))
      .orderBy(asc(downloads.id))
      .for("update");
    const live = jobs.filter((job) => !isTerminal(job.state));
    if (live[0] !== undefined && !force) {
      throw new DomainError("RESOURCE_IN_USE", `model '${row.id}' is being downloaded: cancel that, or force`, {
        metadata: { download_id: live[0].id },
      });
    }
    const assigned = await tx
      .select()
      .from(assignments)
      .where(eq(assignments.modelId, row.id))
      .orderBy(asc(assignments.id))
      .for("update");
    if (assigned[0] !== undefined && !force) {
      const { id, workerId } = assigned[0];
      throw new DomainError(
        "RESOURCE_IN_USE",
        `model '${row.id}' is assigned to the worker '${workerId}': unassign it, or force`,
        { metadata: { assignment_id: id, worker_id: workerId } },
      );
    }

    for (const job of live) await endDownload(tx, changes, job, { state: "CANCELLED" });
    for (const gone of await tx.delete(downloads).where(eq(downloads.modelId, row.id)).returning()) {
      changes.add("DELETED", "download", toDownload(gone));
    }
    for (const gone of await tx.delete(assignments).where(eq(assignments.modelId, row.id)).returning()) {
      changes.add("DELETED", "assignment", toAssignment(gone));
    }
    for (const gone of await tx.delete(aliases).where(eq(aliases.modelId, row.id)).returning()) {
      changes.add("DELETED", "alias", gone);
    }
    await releaseBlobs(tx, await digestsOf(tx, row.id));
    for (const gone of await tx.delete(versions).where(eq(versions.modelId, row.id)).returning()) {
      changes.add("DELETED", "version", toVersion(gone));
    }
    await tx.delete(models).where(eq(models.id, row.id));
    changes.add("DELETED", "model", model);
  });
}
