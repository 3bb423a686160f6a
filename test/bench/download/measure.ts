import { DownloadState, FileState } from "../../../gen/modelmanager/v1/download_pb.ts";
import {
  createHttpModel,
  type DrivenService,
  removeModel,
  type SourceFile,
  startDownload,
  watchDownload,
} from "../../support/driven-service.ts";
import { cpuSeconds } from "../support/process-usage.ts";

/** What downloads took, in seconds. */
export interface Measure {
  /** Until every version was published, its bytes synced. */
  readonly seconds: number;
  /** Until every byte was here and verified, as the progress told it; nothing need be synced by then. */
  readonly verifiedSeconds: number;
  /** Processor time of the service with all its threads. */
  readonly cpuSeconds: number | undefined;
}

/** Where progress is beyond the last byte of a file, or of all. */
const VERIFIED_FILES: ReadonlySet<FileState> = new Set([FileState.VERIFYING, FileState.COMPLETE]);
const VERIFIED_JOBS: ReadonlySet<DownloadState> = new Set([DownloadState.VERIFYING, DownloadState.SUCCEEDED]);

/**
 * Downloads models at once, each with its files, and takes them out of the store again.
 *
 * Time begins before the downloads are asked for and ends when their watchers are told.
 */
export async function measureDownloads(
  service: DrivenService,
  ...models: readonly (readonly SourceFile[])[]
): Promise<Measure> {
  const { client, process } = service;
  const ids = models.map((_, index) => `bench-${index}`);
  for (const [index, files] of models.entries()) await createHttpModel(client, ids[index] ?? "", files);
  const cpuBefore = await cpuSeconds(process.pid);
  const startedAt = performance.now();
  const ends = await Promise.all(ids.map((id) => follow(service, id)));
  const cpuAfter = await cpuSeconds(process.pid);
  for (const id of ids) await removeModel(client, id);
  const last = (times: readonly number[]) => (Math.max(...times) - startedAt) / 1000;
  return {
    seconds: last(ends.map(({ publishedAt }) => publishedAt)),
    verifiedSeconds: last(ends.map(({ verifiedAt }) => verifiedAt)),
    cpuSeconds: cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore,
  };
}

async function follow({ client }: DrivenService, id: string): Promise<{ verifiedAt: number; publishedAt: number }> {
  const files = new Map<string, FileState>();
  let verifiedAt: number | undefined;
  for await (const progress of watchDownload(client, await startDownload(client, id))) {
    for (const { path, state } of progress.files) files.set(path, state);
    const verified = files.size > 0 && [...files.values()].every((state) => VERIFIED_FILES.has(state));
    if (verified || VERIFIED_JOBS.has(progress.state)) verifiedAt ??= performance.now();
  }
  const publishedAt = performance.now();
  return { verifiedAt: verifiedAt ?? publishedAt, publishedAt };
}
