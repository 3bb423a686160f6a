import { open, rename, rm } from "node:fs/promises";
import { partError } from "../../../domain/part-error.ts";
import type { Semaphore } from "../../../lib/semaphore.ts";
import { isMissing } from "../../../lib/system-error.ts";
import type { TransferRequest } from "../transfer.ts";
import { Bitmap } from "./bitmap.ts";
import { BLOCK_BYTES } from "./blocks.ts";
import { contentKey, isChecked } from "./content-key.ts";
import { type FormerPart, findFormerParts, type PartSeeker } from "./former-parts.ts";
import { type JournalHeader, readJournal, writeJournal } from "./journal.ts";
import { Kept, type KeptBytes, NOTHING_KEPT } from "./kept.ts";
import { createFile, removePart } from "./part-files.ts";
import { type PartName, partName } from "./part-names.ts";

/** What opening a part takes. */
export interface PartSource extends PartSeeker {
  /** Held while a part is copied: each copy takes room twice for as long as it lasts. */
  readonly copying: Semaphore;
}

/** A part file that is ready to be filled, and what is in it. */
export interface PreparedPart {
  readonly name: PartName;
  readonly header: JournalHeader;
  readonly kept: KeptBytes;
}

/**
 * Makes the part file that a transfer fills, with the trusted bytes of the best former part already in it. A former part
 * that another process may still write is copied, never written.
 */
export async function preparePart(source: PartSource, request: TransferRequest): Promise<PreparedPart> {
  const { lease, file } = request;
  const name = partName(source.spool, contentKey(file), lease);
  // Before there is a file of this name: no other transfer of this process may take it for one that was left.
  source.open.add(name.dataPath);
  try {
    const formers = await findFormerParts(source, lease, file);
    let prepared: PreparedPart | undefined;
    for (const former of formers) prepared ??= await goOn(source, request, name, former);
    prepared ??= await begin(source, request, name);
    for (const former of formers) await removePart(former.name);
    return prepared;
  } catch (error) {
    source.open.delete(name.dataPath);
    request.signal.throwIfAborted();
    throw partError(error);
  }
}

async function begin(source: PartSource, { file }: TransferRequest, name: PartName): Promise<PreparedPart> {
  await (await createFile(name)).close();
  const { bootId, writer } = source;
  return { name, header: { bootId, writer, size: file.size }, kept: NOTHING_KEPT };
}

/** Goes on with a former part, unless nothing of it can be relied on or somebody else was faster. */
async function goOn(
  source: PartSource,
  request: TransferRequest,
  name: PartName,
  former: FormerPart,
): Promise<PreparedPart | undefined> {
  const { journal, bytes, foreign, kept } = former;
  if (journal === undefined || bytes === 0) return undefined;
  const { origin, validator, size } = journal;
  const { bootId, writer } = source;
  const prepared = { name, header: { bootId, writer, origin, validator, size: request.file.size ?? size }, kept };
  try {
    if (!foreign) return await takeOver(source, former, prepared);
    const release = await source.copying.acquire(request.signal);
    try {
      return await copy(request, former, prepared);
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
  source: PartSource,
  { name: former }: FormerPart,
  prepared: PreparedPart,
): Promise<PreparedPart | undefined> {
  if (source.open.has(former.dataPath)) return undefined;
  // The bytes go first: at no time does a journal vouch for what is not in its file.
  await rename(former.dataPath, prepared.name.dataPath);
  await rename(former.journalPath, prepared.name.journalPath);
  return prepared;
}

/** Copies trusted bytes out of a file that may still be open elsewhere. */
async function copy(
  { file, signal }: TransferRequest,
  { name: former, kept, journal }: FormerPart,
  prepared: PreparedPart,
): Promise<PreparedPart | undefined> {
  const { name, header } = prepared;
  try {
    {
      await using from = await open(former.dataPath, "r");
      await using to = await createFile(name);
      const buffer = new Uint8Array(BLOCK_BYTES);
      for (const { start, end } of new Kept(kept).stretches(header.size)) {
        for (let position = start; position < end; ) {
          signal.throwIfAborted();
          const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, end - position), position);
          if (bytesRead === 0) throw new Error("the part became shorter while it was copied");
          await to.write(buffer, 0, bytesRead, position);
          position += bytesRead;
        }
      }
      // The old one goes after this: what it had on the disk, the copy must have there too.
      await to.datasync();
    }
    // Its owner may have started over after its journal was read: then these are not the bytes that the journal is about.
    const now = isChecked(file) ? journal : await readJournal(former.journalPath);
    if (now?.validator === journal?.validator && now?.origin === journal?.origin) {
      await writeJournal(name.journalPath, header, new Bitmap(kept.pieces));
      return prepared;
    }
  } catch (error) {
    await removePart(name);
    throw error;
  }
  await rm(name.dataPath, { force: true });
  return undefined;
}
