import type { ServiceImpl } from "@connectrpc/connect";
import type {
  DownloadModelRequest,
  ModelService,
  StartDownloadRequest,
} from "../../gen/modelmanager/v1/model_service_pb.ts";
import type { Progress } from "../domain/download.ts";
import { DomainError } from "../domain/errors.ts";
import { errorOfFailure } from "../domain/failure.ts";
import { DOWNLOAD_FILTER_FIELDS, parseFilter } from "../domain/parse-filter.ts";
import type { NamedCredentials } from "../domain/ports/credentials.ts";
import type { Downloads } from "../domain/ports/downloads.ts";
import { downloadToMessage, progressToMessage, startDownloadFromMessage } from "./messages/download.ts";
import { optionalNumber } from "./messages/optional-bytes.ts";
import { uuidFromMessage } from "./messages/uuid.ts";
import { pageFromMessage, pageToMessage } from "./pages.ts";

type DownloadMethods = Pick<
  ServiceImpl<typeof ModelService>,
  | "startDownload"
  | "downloadModel"
  | "watchDownload"
  | "getDownload"
  | "listDownloads"
  | "updateDownload"
  | "pauseDownload"
  | "resumeDownload"
  | "cancelDownload"
>;

/** The part of ModelService that starts, watches and ends downloads. */
export function downloadMethods(downloads: Downloads, credentials: NamedCredentials): DownloadMethods {
  async function start(request: StartDownloadRequest | DownloadModelRequest) {
    const wanted = startDownloadFromMessage(request);
    const { credential } = wanted;
    if (credential !== undefined && "name" in credential) await credentials.find("credential.name", credential.name);
    return downloads.start(wanted);
  }

  async function* watch(downloadId: string, signal: AbortSignal) {
    let last: Progress | undefined;
    for await (const progress of downloads.watch(downloadId, signal)) {
      last = progress;
      yield { progress: progressToMessage(progress) };
    }
    if (last?.error) throw errorOfFailure(last.error);
    if (last?.state === "CANCELLED")
      throw new DomainError("DOWNLOAD_CANCELLED", `download ${downloadId} was cancelled`);
  }

  return {
    async startDownload(request) {
      return { download: downloadToMessage(await start(request)) };
    },

    async *downloadModel(request, { signal }) {
      const { id } = await start(request);
      yield* watch(id, signal);
    },

    watchDownload: ({ downloadId }, { signal }) => watch(uuidFromMessage(downloadId), signal),

    async getDownload({ downloadId }) {
      return { download: downloadToMessage(await downloads.get(uuidFromMessage(downloadId))) };
    },

    async listDownloads(request) {
      const filter = parseFilter(request.filter, DOWNLOAD_FILTER_FIELDS);
      const page = await downloads.list({ ...pageFromMessage(request), filter });
      return { downloads: page.items.map(downloadToMessage), ...pageToMessage(page) };
    },

    async updateDownload({ downloadId, priority, rateLimit }) {
      const changes = { priority, rateLimit: rateLimit === 0n ? null : optionalNumber(rateLimit) };
      return { download: downloadToMessage(await downloads.update(uuidFromMessage(downloadId), changes)) };
    },

    async pauseDownload({ downloadId }) {
      return { download: downloadToMessage(await downloads.pause(uuidFromMessage(downloadId))) };
    },

    async resumeDownload({ downloadId }) {
      return { download: downloadToMessage(await downloads.resume(uuidFromMessage(downloadId))) };
    },

    async cancelDownload({ downloadId }) {
      return { download: downloadToMessage(await downloads.cancel(uuidFromMessage(downloadId))) };
    },
  };
}
