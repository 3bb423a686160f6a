import { type OpenedRange, SourceUnavailable } from "../../domain/ports/sources.ts";
import type { Gap } from "./lane/lane-messages.ts";
import { mismatch } from "./mismatch.ts";
import type { Candidate } from "./origin-choice.ts";
import type { Part } from "./part.ts";
import { isChecked } from "./parts/content-key.ts";
import { StallGuard } from "./stall-guard.ts";
import type { TransferRequest } from "./transfer.ts";

/** What comes in smaller pieces is fed together. */
const FEED_BYTES = 1024 * 1024;
/** But not for longer than this. */
const FEED_MS = 100;

/** Whether the part's next byte may come from the origin called `key`, or from any other. */
export function canContinueFrom(part: Part, { file }: TransferRequest, key: string): boolean {
  return isChecked(file) || (part.from.origin === key && part.from.validator !== undefined);
}

/**
 * Reads from one origin in one stream, for what bare connections do not read: from the first missing byte on, if the origin can
 * go on there, until nothing is missing.
 *
 * @throws SourceUnavailable if the origin broke off, stalled or ended early; DomainError CONTENT_MISMATCH if it sends
 * another file than was announced; the errors of its `open`.
 */
export async function feedFrom(
  part: Part,
  candidate: Candidate,
  request: TransferRequest,
  stallMs: number,
): Promise<void> {
  do {
    if (part.length > 0 && !canContinueFrom(part, request, candidate.key)) await part.startOver();
    await feedGap(part, candidate, request, stallMs);
  } while (!part.isWhole && part.from.size !== undefined);
}

async function feedGap(part: Part, candidate: Candidate, request: TransferRequest, stallMs: number): Promise<void> {
  const { key, origin } = candidate;
  const guard = new StallGuard(stallMs, `file '${request.file.path}': the source '${origin.host}'`);
  let gap = await part.gap();
  if (gap === undefined) return;
  let whole = false;
  try {
    const isPinned = !isChecked(request.file) && part.from.origin === key;
    const validator = isPinned ? part.from.validator : undefined;
    const signal = AbortSignal.any([request.signal, guard.signal]);
    const { start } = gap;
    const opened = await guard.wait(() => origin.open({ offset: start, validator, signal }));
    if (await agree(part, start, candidate, opened, request)) gap = (await part.gap()) ?? gap;
    whole = await drain(part, gap, { opened, guard, host: origin.host }, request);
  } finally {
    guard.close();
    await part.fed(whole);
  }
}

/** Brings the part in line with what the origin answered, or refuses what does not fit. Answers whether it starts over. */
async function agree(
  part: Part,
  start: number,
  { key, origin }: Candidate,
  opened: OpenedRange,
  request: TransferRequest,
): Promise<boolean> {
  const { file, observer } = request;
  const startsOver = opened.offset !== start;
  if (startsOver && opened.offset !== 0) {
    throw new SourceUnavailable(
      `file '${file.path}': the source '${origin.host}' answered another range than was asked for`,
    );
  }
  const expected = file.size ?? (startsOver ? undefined : part.from.size);
  // Before anything is thrown away: an answer that is of another file must not cost what is here.
  if (expected !== undefined && opened.size !== undefined && opened.size !== expected) {
    throw mismatch(file.path, origin.host, `${expected} bytes were announced, the source has ${opened.size}`);
  }
  const size = expected ?? opened.size;
  if (startsOver) await part.startOver(size);
  part.comesFrom({ origin: key, validator: opened.validator, size });
  if (size !== undefined) observer.sized(size);
  return startsOver;
}

/** Feeds the gap from an answer; answers whether the file ended in it. */
async function drain(
  part: Part,
  gap: Gap,
  { opened, guard, host }: { opened: OpenedRange; guard: StallGuard; host: string },
  { file }: TransferRequest,
): Promise<boolean> {
  const { size } = part.from;
  const end = gap.end ?? size;
  const body = opened.body[Symbol.asyncIterator]();
  let position = gap.start;
  let batch: Uint8Array[] = [];
  let batched = 0;
  let flushedAt = performance.now();
  const flush = async () => {
    if (batched === 0) return;
    const bytes = new Uint8Array(batched);
    let at = 0;
    for (const piece of batch) {
      bytes.set(piece, at);
      at += piece.length;
    }
    [batch, batched, flushedAt] = [[], 0, performance.now()];
    await part.feed(bytes);
  };
  try {
    // At the file's end the answer is read on: what comes beyond it shows that it is another file.
    while (end === undefined || position < end || end === size) {
      const { done, value: chunk } = await guard.wait(() => body.next());
      if (done) break;
      if (size !== undefined && position + chunk.length > size) {
        throw mismatch(file.path, host, `the source sends more than the ${size} bytes that were announced`);
      }
      guard.took(chunk.length);
      const wanted = end === undefined ? chunk : chunk.subarray(0, end - position);
      batch.push(wanted);
      batched += wanted.length;
      position += wanted.length;
      if (batched >= FEED_BYTES || performance.now() - flushedAt > FEED_MS) await flush();
    }
  } finally {
    await flush();
    await body.return?.();
  }
  if (end !== undefined && position < end) {
    throw new SourceUnavailable(
      `file '${file.path}': the source '${host}' ended after ${position} of ${size ?? end} bytes`,
    );
  }
  return size === undefined || position === size;
}
