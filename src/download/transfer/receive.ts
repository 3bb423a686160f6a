import { DomainError } from "../../domain/errors.ts";
import { type OpenedRange, SourceUnavailable } from "../../domain/ports/sources.ts";
import { isChecked } from "./content-key.ts";
import type { NamedOrigin } from "./origin-choice.ts";
import type { Part } from "./part.ts";
import { StallGuard } from "./stall-guard.ts";
import type { TransferRequest } from "./transfer.ts";

/** Whether the part's next byte may come from the origin called `key`, or from any other. */
export function canContinueFrom(part: Part, request: TransferRequest, key: string): boolean {
  return isChecked(request.file) || (part.from.origin === key && part.from.validator !== undefined);
}

/** Whether all bytes of the file are in the part, as far as its size is known. */
export function isWhole(part: Part, { file }: TransferRequest): boolean {
  return part.length === (file.size ?? part.from.size);
}

/** Empties the part; the observer hears of it if anything was lost. */
export async function startOver(part: Part, { observer }: TransferRequest): Promise<void> {
  const lost = part.length > 0;
  await part.restart();
  if (lost) await observer.restarted();
}

/**
 * Reads from one origin until the file is whole, beginning where the part ends if the origin can go on there.
 *
 * @throws SourceUnavailable if the origin broke off, stalled or ended early; DomainError CONTENT_MISMATCH if it sends
 * another file than was announced; the errors of its `open`.
 */
export async function receive(
  part: Part,
  { key, origin }: NamedOrigin,
  request: TransferRequest,
  stallMs: number,
): Promise<void> {
  if (part.length > 0 && !canContinueFrom(part, request, key)) await startOver(part, request);
  const guard = new StallGuard(stallMs, origin.host);
  try {
    const offset = part.length;
    const validator = part.from.origin === key ? part.from.validator : undefined;
    const signal = AbortSignal.any([request.signal, guard.signal]);
    const opened = await guard.wait(() => origin.open({ offset, validator, signal }));
    await agree(part, { key, origin }, opened, request);
    await drain(part, opened, guard, request);
  } finally {
    guard.close();
  }
}

/** Brings the part in line with what the origin answered: start over if it does, or refuse what does not fit. */
async function agree(
  part: Part,
  { key, origin }: NamedOrigin,
  opened: OpenedRange,
  request: TransferRequest,
): Promise<void> {
  const { file, observer } = request;
  const startsOver = opened.offset !== part.length;
  if (startsOver && opened.offset !== 0) {
    throw new SourceUnavailable(
      `file '${file.path}': the source '${origin.host}' answered another range than was asked for`,
    );
  }
  const expected = file.size ?? (startsOver ? undefined : part.from.size);
  // Before anything is thrown away: an answer that is of another file must not cost what is here.
  if (expected !== undefined && opened.size !== undefined && opened.size !== expected) {
    throw mismatch(file.path, `${expected} bytes were announced, the source has ${opened.size}`);
  }
  if (startsOver) await startOver(part, request);
  const size = expected ?? opened.size;
  part.comesFrom({ origin: key, validator: opened.validator, size });
  if (size !== undefined) observer.sized(size);
}

async function drain(part: Part, opened: OpenedRange, guard: StallGuard, request: TransferRequest): Promise<void> {
  const { file, limiter, observer, signal } = request;
  const { size } = part.from;
  const body = opened.body[Symbol.asyncIterator]();
  for (;;) {
    const { done, value: chunk } = await guard.wait(() => body.next());
    if (done) break;
    if (size !== undefined && part.length + chunk.length > size) {
      throw mismatch(file.path, `the source sends more than the ${size} bytes that were announced`);
    }
    await limiter.take(chunk.length, signal);
    await part.append(chunk, signal);
    observer.received(chunk.length);
  }
  if (size !== undefined && part.length < size) {
    throw new SourceUnavailable(`file '${file.path}': the source ended after ${part.length} of ${size} bytes`);
  }
  part.comesFrom({ ...part.from, size: part.length });
}

/** The error for bytes that are not those that were announced. */
export function mismatch(path: string, what: string, metadata: Record<string, string> = {}): DomainError {
  return new DomainError("CONTENT_MISMATCH", `file '${path}': ${what}`, { metadata: { path, ...metadata } });
}
