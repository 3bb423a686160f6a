import { type Digest, digestOfHex } from "../../domain/digest.ts";
import { type DomainError, isDomainError, type Reason } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import { SourceUnavailable } from "../../domain/ports/sources.ts";
import type { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Semaphore } from "../../lib/semaphore.ts";
import { isChecked } from "./content-key.ts";
import { openPart, type PartSource } from "./open-part.ts";
import { OriginChoice } from "./origin-choice.ts";
import type { Part } from "./part.ts";
import { removePart } from "./part-files.ts";
import { canContinueFrom, isWhole, mismatch, receive, startOver } from "./receive.ts";
import type { TransferRequest, TransferredFile } from "./transfer.ts";

/** What transfers of one process share. */
export interface TransferTools extends PartSource {
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly connections: Semaphore;
  /** A source that sends nothing for so long is given up. */
  readonly stallMs: number;
  /** Waiting times after failures. */
  readonly backoff: Backoff;
  /** So many failures in a row without a new byte end the transfer. */
  readonly maxFailures: number;
}

/** What does not match may have been an accident on the way, so often. */
const MISMATCHES_FORGIVEN = 2;

/** After these, an origin need not be asked again; so too an unavailable one for which a retry cannot help. */
const REFUSALS: readonly Reason[] = [
  "SOURCE_UNAVAILABLE",
  "SOURCE_FORBIDDEN",
  "SOURCE_NOT_FOUND",
  "SOURCE_REVISION_NOT_FOUND",
  "SOURCE_FILE_NOT_FOUND",
  "ADDRESS_NOT_ALLOWED",
  "PATH_NOT_ALLOWED",
];

/** See {@link Transfer.transferFile}: one connection at a time, the origins in turn. */
export async function transferFile(tools: TransferTools, request: TransferRequest): Promise<TransferredFile> {
  const { file } = request;
  if (file.gitBlobSha1 !== undefined && file.size === undefined) {
    throw mismatch(file.path, "the source names a git blob without its size, so that it cannot be checked");
  }
  const part = await openPart(tools, request);
  try {
    const digest = await fetchVerified(tools, part, request);
    await part.seal();
    const { name } = part;
    // What cannot be taken away now is swept later: the file is in the store all the same.
    return { digest, size: part.length, path: name.dataPath, forget: () => removePart(name).catch(() => {}) };
  } catch (error) {
    await (part.length === 0 || isWrong(part, request, error) ? part.discard() : part.keep());
    throw error;
  }
}

/**
 * Whether the bytes at hand are of no use to anyone: all are here and do not match, or they cannot be checked and the
 * source says that the file is another one now. Else it was the last answer that was wrong, and what is here stays.
 */
function isWrong(part: Part, request: TransferRequest, error: unknown): boolean {
  if (!isDomainError(error, "CONTENT_MISMATCH") || request.signal.aborted) return false;
  return isWhole(part, request) || !isChecked(request.file);
}

async function fetchVerified(tools: TransferTools, part: Part, request: TransferRequest): Promise<Digest> {
  const { file, signal } = request;
  const origins = new OriginChoice(file.origins, tools.backoff, tools.clock, tools.random);
  let farthest = part.length;
  let failures = 0;
  let mismatches = 0;
  for (;;) {
    signal.throwIfAborted();
    // Outside of what is caught below: when all have refused, that is the end.
    const chosen = isWhole(part, request) ? undefined : await origins.next(boundOrigin(part, request), signal);
    const asked = chosen?.key ?? part.from.origin ?? "";
    try {
      if (chosen !== undefined) {
        await withPermit(tools.connections, signal, () => receive(part, chosen, request, tools.stallMs));
      }
      return await verify(part, request);
    } catch (error) {
      signal.throwIfAborted();
      if (part.length > farthest) {
        farthest = part.length;
        failures = 0;
        origins.helped(asked);
      }
      if (error instanceof SourceUnavailable) {
        failures += 1;
        if (failures >= tools.maxFailures) throw error;
        origins.failed(asked, error);
        tools.log.info("transfer interrupted", { path: file.path, origin: asked, at: part.length, failures, error });
      } else if (isDomainError(error, "CONTENT_MISMATCH")) {
        mismatches += 1;
        if (mismatches > MISMATCHES_FORGIVEN) throw error;
        origins.distrust(asked);
        tools.log.warn("origin sent what does not match", { path: file.path, origin: asked, error });
        if (isWrong(part, request, error)) await startOver(part, request);
      } else if (isDomainError(error) && REFUSALS.includes(error.reason)) {
        origins.refused(asked, error);
        tools.log.info("origin refused a file", { path: file.path, origin: asked, error });
      } else throw error;
    }
  }
}

/** The only origin that can go on with what the part holds; undefined if any can, or if there is nothing to go on with. */
function boundOrigin(part: Part, request: TransferRequest): string | undefined {
  const { origin } = part.from;
  if (part.length === 0 || origin === undefined) return undefined;
  return !canContinueFrom(part, request, "") && canContinueFrom(part, request, origin) ? origin : undefined;
}

async function verify(part: Part, request: TransferRequest): Promise<Digest> {
  const { file, observer } = request;
  observer.verifying();
  const { sha256, gitBlobSha1 } = await part.digest();
  const digest = digestOfHex(sha256);
  if (file.digest !== undefined && digest !== file.digest) throw wrongDigest(file.path, file.digest, digest);
  if (file.gitBlobSha1 !== undefined && gitBlobSha1 !== file.gitBlobSha1) {
    throw wrongDigest(file.path, `git blob ${file.gitBlobSha1}`, `git blob ${gitBlobSha1}`);
  }
  return digest;
}

function wrongDigest(path: string, expected: string, got: string): DomainError {
  return mismatch(path, `the bytes do not match their digest: expected ${expected}, got ${got}`, { expected, got });
}

async function withPermit(permits: Semaphore, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  const release = await permits.acquire(signal);
  try {
    await work();
  } finally {
    release();
  }
}
