import { and, eq, sql } from "drizzle-orm";
import type { VersionFile } from "../domain/model.ts";
import type { Database } from "./database.ts";
import { textArray } from "./rows.ts";
import { versionFiles } from "./schema/models.ts";

/** See `DownloadJobs.filesAt`. */
export async function filesAt(database: Database, modelId: string, paths: readonly string[]): Promise<VersionFile[]> {
  const { path, size, digest } = versionFiles;
  const among = sql`${path} = any(${textArray(paths)})`;
  return await database.read((db) =>
    db
      .selectDistinct({ path, size, digest })
      .from(versionFiles)
      .where(and(eq(versionFiles.modelId, modelId), among)),
  );
}
