import { open, rename, rm } from "node:fs/promises";
import type { Semaphore } from "../../lib/semaphore.ts";
import { isMissing } from "../../lib/system-error.ts";
import { contentKey } from "./content-key.ts";
import { type FormerPart, findFormerParts } from "./former-parts.ts";
import { Part, type PartTools } from "./part.ts";
import { partError } from "./part-errors.ts";
import { removePart } from "./part-files.ts";
import { type PartName, partName } from "./part-names.ts";
import { type PartRecord, writeRecord } from "./part-record.ts";
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

/**
 * Opens the part that a transfer writes, with the trusted bytes of the best former part already in it and hashed.
 * A former part that another process may still write is copied, never written.
 */
export async function openPart(source: PartSource, request: TransferRequest): Promise<Part> {
  const { spool, tools, isLive } = source;
  const { lease, file } = request;
  const name = partName(spool, contentKey(file), lease);
  const formers = await findFormerParts(spool, lease, file, tools, isLive);
  const part =
    (await goOn(source, request, name, formers[0])) ?? (await Part.create(name, tools, gitBlobSize(request)));
  for (const former of formers) await removePart(former.name);
  return part;
}

/** The size that git's SHA-1 needs before the first byte; undefined if that is not asked for. */
function gitBlobSize({ file }: TransferRequest): number | undefined {
  return file.gitBlobSha1 === undefined ? undefined : file.size;
}

/** Goes on with a former part, unless there is none or another process was faster. */
async function goOn(
  source: PartSource,
  request: TransferRequest,
  name: PartName,
  former: FormerPart | undefined,
): Promise<Part | undefined> {
  if (former?.record === undefined || former.trusted === 0) return undefined;
  const trusted = { ...former.record, written: former.trusted };
  try {
    if (!former.foreign) return await takeOver(source, request, name, former, trusted);
    const release = await source.copying.acquire(request.signal);
    try {
      return await copy(source, request, name, former, trusted);
    } finally {
      release();
    }
  } catch (error) {
    if (isMissing(error)) return undefined;
    request.signal.throwIfAborted();
    throw partError(error);
  }
}

/** Goes on with a file that this very process wrote and closed. */
async function takeOver(
  { tools }: PartSource,
  request: TransferRequest,
  name: PartName,
  former: FormerPart,
  trusted: PartRecord,
): Promise<Part> {
  // The new record comes first: at no time is there a file without one.
  await writeRecord(name.recordPath, trusted, false);
  await rename(former.name.dataPath, name.dataPath);
  await rm(former.name.recordPath, { force: true });
  const part = await Part.continue(name, tools, trusted, gitBlobSize(request));
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
  { tools }: PartSource,
  request: TransferRequest,
  name: PartName,
  former: FormerPart,
  trusted: PartRecord,
): Promise<Part> {
  const { signal, observer } = request;
  await using old = await open(former.name.dataPath, "r");
  const part = await Part.create(name, tools, gitBlobSize(request));
  try {
    const { origin, validator, size } = trusted;
    part.comesFrom({ origin, validator, size });
    const buffer = new Uint8Array(SLAB_BYTES);
    while (part.length < trusted.written) {
      signal.throwIfAborted();
      const wanted = Math.min(buffer.length, trusted.written - part.length);
      const { bytesRead } = await old.read(buffer, 0, wanted, part.length);
      if (bytesRead === 0) throw new Error("the part is shorter than its record says");
      await part.append(buffer.subarray(0, bytesRead), signal);
      observer.kept(bytesRead);
    }
    // The old one goes after this: what it had on the disk, the copy must have there too.
    await part.sync();
    return part;
  } catch (error) {
    await part.discard();
    throw error;
  }
}
