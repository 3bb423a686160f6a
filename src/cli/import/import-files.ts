import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { DownloadState } from "../../../gen/modelmanager/v1/download_pb.ts";
import type { Version } from "../../../gen/modelmanager/v1/version_pb.ts";
import type { ModelManagerClient } from "../../client/connect.ts";
import { errorReason } from "../../client/error-details.ts";
import { type Digest, digestOfHex } from "../../domain/digest.ts";
import { FileHasher } from "../../lib/hashing/file-hasher.ts";
import { mapConcurrently } from "../../lib/map-concurrently.ts";
import { systemCode } from "../../lib/system-error.ts";
import { type BlobTransfer, openBlobTransfer } from "../blob-transfer.ts";
import { CliError } from "../cli-error.ts";
import type { ServiceAddress } from "../connection.ts";
import { EXIT } from "../exit-codes.ts";
import type { ServiceOptions } from "../service-options.ts";
import { showTransfer } from "../transfer-progress.ts";
import type { LocalFile } from "./local-files.ts";

/** What is imported, and how that is shown. */
export interface ImportRequest extends Pick<ServiceOptions, "json"> {
  readonly modelId: string;
  readonly files: readonly LocalFile[];
  readonly license?: string;
  readonly quiet?: boolean;
}

/** What an import came to. */
export interface ImportedFiles {
  readonly version?: Version;
  /** How many bytes the service did not have. */
  readonly sentBytes: number;
}

interface HashedFile extends LocalFile {
  readonly digest: Digest;
}

const FILES_AT_ONCE = 4;
const QUESTIONS_AT_ONCE = 8;

/**
 * Makes a version of local files: hashes them, sends what the service does not have, several at once, and has the version made
 * when all of it is there and verified.
 *
 * @throws CliError for a file that cannot be read or changes meanwhile; ConnectError
 */
export async function importFiles(
  client: Pick<ModelManagerClient, "models">,
  address: ServiceAddress,
  request: ImportRequest,
  signal: AbortSignal,
): Promise<ImportedFiles> {
  const files = await hashFiles(request, signal);
  const transfer = await openBlobTransfer(address);
  try {
    const missing = await findMissing(files, transfer, signal);
    const sentBytes = await sendFiles(missing, transfer, request, signal);
    const { version } = await client.models.createVersion(
      {
        modelId: request.modelId,
        files: files.map(({ path, digest }) => ({ path, digest })),
        license: request.license,
      },
      { signal },
    );
    return { version, sentBytes };
  } finally {
    await transfer.close();
  }
}

async function hashFiles(request: ImportRequest, signal: AbortSignal): Promise<HashedFile[]> {
  const hasher = new FileHasher();
  const progress = await showTransfer(request.files, request, DownloadState.VERIFYING);
  try {
    return await mapConcurrently(request.files, FILES_AT_ONCE, signal, async (file, _index, either) => {
      let there = 0;
      const onRead = (bytes: number) => {
        there += bytes;
        progress.at(file.path, there);
      };
      const { hex, size } = await reading(file, async () => {
        await using handle = await open(file.file);
        return await hasher.hashOf(handle, { signal: either, onRead });
      });
      if (size !== file.size) throw changed(file);
      progress.done(file.path);
      return { ...file, digest: digestOfHex(hex) };
    });
  } finally {
    progress.end();
  }
}

/** One file of each content that the service does not have. */
async function findMissing(
  files: readonly HashedFile[],
  transfer: BlobTransfer,
  signal: AbortSignal,
): Promise<HashedFile[]> {
  const distinct = [...new Map(files.map((file) => [file.digest, file])).values()];
  const asked = await mapConcurrently(distinct, QUESTIONS_AT_ONCE, signal, async (file, _index, either) =>
    (await transfer.stat(file.digest, either)) === file.size ? [] : [file],
  );
  return asked.flat();
}

async function sendFiles(
  files: readonly HashedFile[],
  transfer: BlobTransfer,
  request: ImportRequest,
  signal: AbortSignal,
): Promise<number> {
  const progress = await showTransfer(files, request);
  try {
    const sent = await mapConcurrently(files, FILES_AT_ONCE, signal, async (file, _index, either) => {
      const { digest, size, path } = file;
      const blob = { digest, size, open: (start: number) => Readable.from(bytesOf(file, start), READING) };
      try {
        const bytes = await transfer.send(blob, either, (there) => progress.at(path, there));
        progress.done(path);
        return bytes;
      } catch (error) {
        throw errorReason(error) === "CONTENT_MISMATCH" ? changed(file) : error;
      }
    });
    return sent.reduce((sum, bytes) => sum + bytes, 0);
  } finally {
    progress.end();
  }
}

const READING = { objectMode: false, highWaterMark: 1 << 18 };

/** As many bytes of a file as it is known to have, from `start` on. */
async function* bytesOf(file: LocalFile, start: number): AsyncGenerator<Buffer, void> {
  if (start >= file.size) return;
  try {
    yield* createReadStream(file.file, { start, end: file.size - 1, highWaterMark: READING.highWaterMark });
  } catch (error) {
    throw unreadable(file, error);
  }
}

async function reading<Result>(file: LocalFile, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    throw systemCode(error) === undefined ? error : unreadable(file, error);
  }
}

function unreadable({ file }: LocalFile, error: unknown): CliError {
  return new CliError(EXIT.failure, `${file}: cannot be read (${systemCode(error) ?? error})`);
}

function changed({ file }: LocalFile): CliError {
  return new CliError(EXIT.failure, `${file}: changed while it was imported`, { hint: "import it again" });
}
