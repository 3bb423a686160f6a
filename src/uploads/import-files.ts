import { blobsNotFound } from "../domain/blobs-not-found.ts";
import { invalidField } from "../domain/errors.ts";
import { DistinctPaths } from "../domain/file-path.ts";
import type { VersionFile } from "../domain/model.ts";
import type { Models } from "../domain/ports/models.ts";
import type { ImportPart } from "../domain/ports/version-maker.ts";
import { untilAborted } from "../lib/until-aborted.ts";
import type { BlobUploads } from "./blob-uploads.ts";

/** Of one version. */
const MOST_FILES = 10_000;

/** What taking in an import needs. */
export interface ImportTools {
  readonly uploads: BlobUploads;
  readonly models: Pick<Models, "get">;
}

/** Takes in the files of an import, whose bytes are in the store then; see `VersionMaker.import`. */
export async function importFiles(
  { uploads, models }: ImportTools,
  parts: AsyncIterable<ImportPart>,
  signal: AbortSignal,
): Promise<{ modelId: string; files: VersionFile[] }> {
  const stream = new PartStream(parts, signal);
  const paths = new DistinctPaths({ ignoreCase: true });
  const files: VersionFile[] = [];
  let modelId: string | undefined;
  for (let part = await stream.advance(); part !== undefined; part = stream.current) {
    if (part.kind === "chunk") throw invalidField("header", "must come before the first chunk");
    const { file } = part;
    if (modelId === undefined) await models.get(part.modelId);
    else if (part.modelId !== modelId) throw invalidField("header.model_id", "must be the same in all headers");
    if (files.length === MOST_FILES) throw invalidField("header", `must not come for more than ${MOST_FILES} files`);
    modelId = part.modelId;
    paths.add("header.path", file.path);
    await stream.advance();
    await takeIn(uploads, stream, file);
    files.push(file);
  }
  if (modelId === undefined) throw invalidField("header", "is required: an import has one file at least");
  return { modelId, files };
}

/** Takes in the bytes of a file, which follow in the stream unless the store has them. */
async function takeIn(uploads: BlobUploads, stream: PartStream, file: VersionFile): Promise<void> {
  const { digest, size } = file;
  const known = await uploads.find(digest);
  if (known !== undefined) {
    if (known !== size) throw invalidField("header.size", `must be ${known}: so many bytes has the blob ${digest}`);
    let sent = 0;
    for await (const bytes of stream.chunks()) sent += bytes.length;
    if (sent !== 0 && sent !== size) throw invalidField("header.size", `must be the ${sent} bytes that were sent`);
    return;
  }
  if (size > 0 && stream.current?.kind !== "chunk") throw blobsNotFound([file]);
  try {
    const piece = { goesOn: false, start: 0, total: size };
    await uploads.receive(digest, piece, { field: "header.size", chunks: stream.chunks() });
  } catch (error) {
    // It cannot be gone on with.
    await uploads.discard(digest);
    throw error;
  }
}

/** The parts of an import one by one, with the one that was read last. */
class PartStream {
  readonly #parts: AsyncIterator<ImportPart>;
  readonly #signal: AbortSignal;
  /** Undefined before the first and after the last. */
  current: ImportPart | undefined;

  constructor(parts: AsyncIterable<ImportPart>, signal: AbortSignal) {
    this.#parts = parts[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  async advance(): Promise<ImportPart | undefined> {
    const { done, value } = await untilAborted(this.#parts.next(), this.#signal);
    this.current = done ? undefined : value;
    return this.current;
  }

  /** The bytes from the current part up to the next header. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    for (let part = this.current; part?.kind === "chunk"; part = await this.advance()) yield part.bytes;
  }
}
