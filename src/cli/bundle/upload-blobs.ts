import { errorReason } from "../../client/error-details.ts";
import type { Digest } from "../../domain/digest.ts";
import { mapConcurrently } from "../../lib/map-concurrently.ts";
import type { BlobTransfer } from "../blob-transfer.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";
import type { TransferProgress } from "../transfer-progress.ts";
import type { BundleFiles } from "./bundle-files.ts";
import type { BundledVersion } from "./read-bundle.ts";

/** A blob that the service lacks and the bundle has. */
export interface MissingBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** The first file that has it, for people. */
  readonly path: string;
}

const QUESTIONS_AT_ONCE = 8;
const UPLOADS_AT_ONCE = 4;

/**
 * Finds the blobs that the service lacks. Each blob of each version must be in the bundle with its size, or be in the
 * service's store already, as it is when a bundle was made with `--since`.
 *
 * @throws CliError that names the first file for which neither holds; ConnectError
 */
export async function findMissing(
  versions: readonly BundledVersion[],
  files: BundleFiles,
  transfer: BlobTransfer,
  signal: AbortSignal,
): Promise<MissingBlob[]> {
  const blobs = new Map<Digest, { blob: MissingBlob; version: BundledVersion }>();
  for (const version of versions) {
    for (const { digest, size, path } of version.files) {
      if (!blobs.has(digest)) blobs.set(digest, { blob: { digest, size, path: `${version.name}/${path}` }, version });
    }
  }
  const checked = await mapConcurrently(
    [...blobs.values()],
    QUESTIONS_AT_ONCE,
    signal,
    async (item, _index, either) => {
      const { blob, version } = item;
      const size = await files.sizeOf(blob.digest);
      if (size !== undefined && size !== blob.size) {
        throw new CliError(EXIT.failure, `${blob.path}: ${blob.digest} must have ${blob.size} bytes, and has ${size}`);
      }
      if ((await transfer.stat(blob.digest, either)) === blob.size) return [];
      if (size === undefined) throw absent(blob, version);
      return [blob];
    },
  );
  return checked.flat();
}

function absent({ path, digest }: MissingBlob, { since }: BundledVersion): CliError {
  const hint =
    since === undefined
      ? "the bundle is not whole: copy or export it again"
      : `the bundle was made with --since ${since}: import that version first, or export without --since`;
  return new CliError(EXIT.failure, `${path}: ${digest} is neither in the bundle nor in the service's store`, { hint });
}

/**
 * Sends blobs, several at once. The service checks each against its digest before it counts.
 *
 * @returns how many bytes were sent.
 * @throws CliError for bytes that are not those of their digest; ConnectError
 */
export async function uploadBlobs(
  missing: readonly MissingBlob[],
  files: BundleFiles,
  transfer: BlobTransfer,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<number> {
  const sent = await mapConcurrently(
    missing,
    UPLOADS_AT_ONCE,
    signal,
    async ({ digest, size, path }, _index, either) => {
      const blob = { digest, size, open: (start: number) => files.open(digest, start) };
      try {
        const bytes = await transfer.send(blob, either, (there) => progress.at(path, there));
        progress.done(path);
        return bytes;
      } catch (error) {
        if (errorReason(error) !== "CONTENT_MISMATCH") throw error;
        throw new CliError(EXIT.failure, `${path}: its bytes in the bundle are not those of ${digest}`, {
          hint: "the bundle is damaged: copy or export it again",
        });
      }
    },
  );
  return sent.reduce((sum, bytes) => sum + bytes, 0);
}
