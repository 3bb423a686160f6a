import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type DownloadProgress,
  DownloadProgressSchema,
  DownloadState,
  type FileProgress,
  FileProgressSchema,
  FileState,
} from "../../gen/modelmanager/v1/download_pb.ts";
import type { ServiceOptions } from "./service-options.ts";

/** How far the files of a transfer between this program and the service are. */
export interface TransferProgress {
  /** `bytes` of a file are there now; fewer than before if it began anew. */
  at(path: string, bytes: number): void;
  /** All of a file is there, verified. */
  done(path: string): void;
  /** Nothing more comes. May be called again. */
  end(): void;
}

/** A file to be moved: the name that its bar shows, and its size in bytes. */
export interface TransferFile {
  readonly path: string;
  readonly size: number;
}

const silent: TransferProgress = { at() {}, done() {}, end() {} };

/** Shows a transfer as `pull` shows a download: with bars on a terminal, with nothing elsewhere or if quiet. `state` names it. */
export async function showTransfer(
  files: readonly TransferFile[],
  { json, quiet }: Pick<ServiceOptions, "json"> & { readonly quiet?: boolean },
  state: DownloadState = DownloadState.TRANSFERRING,
): Promise<TransferProgress> {
  if (json || quiet || !process.stderr.isTTY) return silent;
  const { createBars } = await import("./progress-bars.ts");
  const bars = createBars(process.stderr);
  const startedAt = performance.now();
  const states = new Map<string, FileProgress>(
    files.map(({ path, size }) => [path, create(FileProgressSchema, { path, totalBytes: BigInt(size) })]),
  );
  const total = create(DownloadProgressSchema, {
    state,
    totalBytes: files.reduce((sum, { size }) => sum + BigInt(size), 0n),
    totalFiles: states.size,
  });
  let moved = 0n;
  const at = (path: string, bytes: number, state: FileState) => {
    const file = states.get(path);
    if (file === undefined) return;
    const more = BigInt(bytes) - file.completedBytes;
    // The first word of a file says what was there already.
    if (file.state !== FileState.UNSPECIFIED && more > 0n) moved += more;
    total.completedBytes += more;
    file.completedBytes += more;
    file.state = state;
    measure(total, moved, performance.now() - startedAt);
    bars.update(total, states);
  };
  return {
    at: (path, bytes) => at(path, bytes, FileState.TRANSFERRING),
    done(path) {
      total.completedFiles += 1;
      if (total.completedFiles === total.totalFiles) total.state = DownloadState.SUCCEEDED;
      at(path, Number(states.get(path)?.totalBytes ?? 0n), FileState.COMPLETE);
    },
    end: () => bars.end(),
  };
}

/** Speed and time left, from the mean of the whole transfer. */
function measure(total: DownloadProgress, moved: bigint, ms: number): void {
  const left = (total.totalBytes ?? 0n) - total.completedBytes;
  total.bytesPerSecond = BigInt(Math.round((Number(moved) * 1000) / Math.max(1, ms)));
  const isKnown = left > 0n && total.bytesPerSecond > 0n;
  total.eta = isKnown ? durationFromMs(Math.round((Number(left) * 1000) / Number(total.bytesPerSecond))) : undefined;
}
