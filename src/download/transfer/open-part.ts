import { open, rename, rm } from "node:fs/promises";
import type { Semaphore } from "../../lib/semaphore.ts";
import { isMissing } from "../../lib/system-error.ts";
import { contentKey, isChecked } from "./content-key.ts";
import { type FormerPart, findFormerParts } from "./former-parts.ts";
import { Part, type PartTools } from "./part.ts";
import { partError } from "./part-errors.ts";
import { removePart } from "./part-files.ts";
import { type PartName, partName } from "./part-names.ts";
import { type PartRecord, readRecord, writeRecord } from "./part-record.ts";
import { startOver } from "./receive.ts";
import { SLAB_BYTES } from "./slab-pool.ts";
import type { IsLive, TransferRequest } from "./transfer.ts";

/** What opening a part takes. */
export interface PartSource {
  readonly spool: string;
  readonly tools: PartTools;
  readonly isLive: IsLive;
  /** Held while a part is copied: each copy takes room twice for as long as it lasts. */
  readonly copying: Semaphore;
}

interface Opening extends PartSource {
  readonly request: TransferRequest;
  readonly name: PartName;
  /** What git's SHA-1 needs before the first byte; undefined if that is not asked for. */
  readonly gitBlobSize: number | undefined;
}

/**
 * Opens the part that a transfer writes, with the trusted bytes of the best former part already in it and hashed.
 * A former part that another process may still write is copied, never written.
 */
export async function openPart(source: PartSource, request: TransferRequest): Promise<Part> {
  const { spool, tools, isLive } = source;
  const { lease, file } = request;
  const name = partName(spool, contentKey(file), lease);
  const gitBlobSize = file.gitBlobSha1 === undefined ? undefined : file.size;
  // Before there is a file of this name: no other transfer of this process may take it for one that was left.
  tools.open.add(name.dataPath);
  let part: Part | undefined;
  try {
    const formers = await findFormerParts(spool, lease, file, tools, isLive);
    for (const former of formers) part ??= await goOn({ ...source, request, name, gitBlobSize }, former);
    part ??= await Part.create(name, tools, gitBlobSize);
    for (const former of formers) await removePart(former.name);
    return part;
  } catch (error) {
    await part?.keep();
    tools.open.delete(name.dataPath);
    request.signal.throwIfAborted();
    throw partError(error);
  }
}

/** Goes on with a former part, unless nothing of it can be relied on or somebody else was faster. */
async function goOn(opening: Opening, former: FormerPart): Promise<Part | undefined> {
  const { record, trusted, foreign } = former;
  if (record === undefined || trusted === 0) return undefined;
  const vouched = { ...record, written: trusted, synced: Math.min(record.synced, trusted) };
  try {
    if (!foreign) return await takeOver(opening, former.name, vouched);
    const release = await opening.copying.acquire(opening.request.signal);
    try {
      return await copy(opening, former.name, vouched);
    } finally {
      release();
    }
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Goes on with a file that this very process wrote and closed. */
async function takeOver(
  { tools, name, request, gitBlobSize }: Opening,
  from: PartName,
  record: PartRecord,
): Promise<Part | undefined> {
  // The new record comes first: at no time is there a file without one.
  await writeRecord(name.recordPath, record, false);
  if (tools.open.has(from.dataPath)) return undefined;
  await rename(from.dataPath, name.dataPath);
  await rm(from.recordPath, { force: true });
  const part = await Part.continue(name, tools, record, gitBlobSize);
  try {
    await part.replay(request.signal, (bytes) => request.observer.kept(bytes));
    return part;
  } catch (error) {
    await part.keep();
    throw error;
  }
}

/** Copies trusted bytes out of a file that may still be open elsewhere, hashing them on the way. */
async function copy(
  { tools, name, request, gitBlobSize }: Opening,
  from: PartName,
  { written, origin, validator, size }: PartRecord,
): Promise<Part> {
  const { file, signal, observer } = request;
  await using old = await open(from.dataPath, "r");
  const part = await Part.create(name, tools, gitBlobSize);
  try {
    part.comesFrom({ origin, validator, size });
    const buffer = new Uint8Array(SLAB_BYTES);
    while (part.length < written) {
      signal.throwIfAborted();
      const { bytesRead } = await old.read(buffer, 0, Math.min(buffer.length, written - part.length), part.length);
      if (bytesRead === 0) break;
      await part.append(buffer.subarray(0, bytesRead), signal);
      observer.kept(bytesRead);
    }
    // The old one goes after this: what it had on the disk, the copy must have there too.
    await part.sync();
    // Its owner may have started over after its record was read: then these are not the bytes that the record is about.
    const now = isChecked(file) ? undefined : await readRecord(from.recordPath);
    const same = isChecked(file) || (now?.validator === validator && now?.origin === origin);
    if (part.length < written || !same) await startOver(part, request);
    return part;
  } catch (error) {
    await part.discard();
    throw error;
  }
}
