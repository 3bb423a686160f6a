import { join } from "node:path";
import { type DownloadProgress, DownloadState, DownloadStateSchema } from "../../gen/modelmanager/v1/download_pb.ts";
import { ModelType } from "../../gen/modelmanager/v1/model_pb.ts";
import { createModelManagerClient, type ModelManagerClient } from "../../src/client/connect.ts";
import { type ServiceProcess, startServiceProcess } from "./service-process.ts";

/** How long a service has to end in good order. */
const STOP_MS = 15_000;
/** Between two looks at a download. */
const POLL_MS = 20;

/** A file that a model's source names. */
export interface SourceFile {
  readonly url: string;
  readonly path: string;
  readonly sha256: string;
}

/** The built service as a process of its own, with a client of it. */
export interface DrivenService extends AsyncDisposable {
  readonly process: ServiceProcess;
  readonly client: ModelManagerClient;
  /** The folder of its store. */
  readonly store: string;
  /** Ends it with SIGKILL; resolves when it is gone. */
  crash(): Promise<void>;
}

/**
 * Starts the built service with `data` as its folder; its sources may reach loopback. `environment` comes over the defaults.
 * Disposing of it ends it in good order, or after 15 s by force.
 */
export async function startDrivenService(
  data: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<DrivenService> {
  const process = await startServiceProcess({
    MODEL_MANAGER_DATA: data,
    MODEL_MANAGER_ALLOW_NETWORKS: "127.0.0.0/8",
    MODEL_MANAGER_LOG_LEVEL: "info",
    ...environment,
  });
  const client = createModelManagerClient(process.url);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    client.close();
    process.kill(signal);
    const timer = setTimeout(() => process.kill("SIGKILL"), STOP_MS);
    await process.exited;
    clearTimeout(timer);
  };
  return {
    process,
    client,
    store: environment.MODEL_MANAGER_STORE ?? join(data, "store"),
    crash: () => end("SIGKILL"),
    [Symbol.asyncDispose]: () => end("SIGTERM"),
  };
}

/** Registers a model whose files lie on web servers. */
export async function createHttpModel(
  { models }: ModelManagerClient,
  id: string,
  files: readonly SourceFile[],
): Promise<void> {
  const source = { kind: { case: "http" as const, value: { files: files.map((file) => ({ ...file })) } } };
  await models.createModel({ model: { id, type: ModelType.LLM, source } });
}

/** Starts a download of a model; answers its id. */
export async function startDownload({ models }: ModelManagerClient, modelId: string): Promise<string> {
  const { download } = await models.startDownload({ modelId });
  if (download === undefined) throw new Error("the service answered without a download");
  return download.id;
}

/** The messages of a download until it has succeeded; throws the failure of one that did not. */
export async function* watchDownload(
  { models }: ModelManagerClient,
  downloadId: string,
): AsyncGenerator<DownloadProgress> {
  for await (const { progress } of models.watchDownload({ downloadId })) if (progress) yield progress;
}

/** Looks at a download until `when` holds of it. Throws once it has ended otherwise. */
export async function pollDownload(
  { models }: ModelManagerClient,
  downloadId: string,
  when: (progress: DownloadProgress) => boolean,
): Promise<DownloadProgress> {
  for (;;) {
    const progress = (await models.getDownload({ downloadId })).download?.progress;
    if (progress !== undefined && when(progress)) return progress;
    if (progress !== undefined && ENDED.has(progress.state)) {
      throw new Error(`the download is ${stateName(progress)}: ${progress.error?.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Whether a download has succeeded by now. */
export async function isSucceeded({ models }: ModelManagerClient, downloadId: string): Promise<boolean> {
  return (await models.getDownload({ downloadId })).download?.state === DownloadState.SUCCEEDED;
}

/** The name of a download's state, such as `SUCCEEDED`. */
export function stateName({ state }: { readonly state: DownloadState }): string {
  return DownloadStateSchema.value[state]?.localName ?? String(state);
}

const ENDED: ReadonlySet<DownloadState> = new Set([
  DownloadState.SUCCEEDED,
  DownloadState.FAILED,
  DownloadState.CANCELLED,
]);

/** Deletes a model and takes the bytes that nothing needs any more out of the store. */
export async function removeModel({ models }: ModelManagerClient, modelId: string): Promise<void> {
  await models.deleteModel({ modelId, force: true });
  await models.collectGarbage({ grace: {} });
}
