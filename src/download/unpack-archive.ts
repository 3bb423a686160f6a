import { isDomainError } from "../domain/errors.ts";
import type { VersionFile } from "../domain/model.ts";
import type { Unpacking } from "../domain/ports/sources.ts";
import { ArchiveIntake } from "./archive-intake.ts";
import type { Job, JobTools } from "./job.ts";
import { record } from "./job-record.ts";
import type { TransferredFile } from "./transfer/transfer.ts";
import { EntryRules } from "./unpack/entry-rules.ts";
import { runUnpackThread, type UnpackDirector } from "./unpack/unpack-thread.ts";

/** An archive that was transferred, and whose digest was checked. */
export interface Archive extends TransferredFile {
  /** What the source calls it. */
  readonly name: string;
  readonly unpacking: Unpacking;
}

/**
 * Unpacks an archive: each of its files goes, hashed on the way, into the spool and from there into the store. The archive is
 * taken away, unless unpacking it may go on later. As much room as it takes itself is reserved for its files already; what
 * they need beyond is reserved as they come.
 *
 * @throws DomainError FIELD_INVALID for an archive that breaks a rule, as {@link EntryRules} has them, or is not whole;
 * DISK_FULL or STORE_UNAVAILABLE; the signal's reason.
 */
export async function unpackArchive(tools: JobTools, job: Job, archive: Archive): Promise<readonly VersionFile[]> {
  const { name, digest, path, size, unpacking } = archive;
  const { format, takes = () => true } = unpacking;
  let isWhole = true;
  const rules = new EntryRules(`layer '${name}' (${digest})`);
  const intake = await ArchiveIntake.begin(tools, job, digest, size);
  const director: UnpackDirector = {
    entry: async (entry) => {
      const file = rules.pathOf(entry);
      if (file !== undefined && takes(file)) return { dataPath: await intake.open(file, entry.size) };
      isWhole &&= file === undefined;
      return { skip: true };
    },
    written: (fileDigest) => intake.written(fileDigest),
    broken: (rule) => rules.broken(rule),
  };
  try {
    await runUnpackThread({ path, size, format }, director, intake.signal);
    rules.assertDistinct();
    const files = await intake.finish();
    // Of a part of it nothing could be said the next time.
    if (isWhole) await record(tools, job, () => tools.jobs.noteUnpacked(job.lease, digest, files));
    await archive.forget();
    return files;
  } catch (error) {
    if (isDomainError(error, "FIELD_INVALID")) await archive.forget();
    throw error;
  } finally {
    await intake.close();
  }
}
