import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type Download as DownloadMessage,
  type DownloadProgress as DownloadProgressMessage,
  DownloadProgressSchema,
  DownloadSchema,
  type DownloadState as DownloadStateMessage,
  DownloadStateSchema,
  type FileState as FileStateMessage,
  FileStateSchema,
} from "../../../gen/modelmanager/v1/download_pb.ts";
import type { DownloadModelRequest, StartDownloadRequest } from "../../../gen/modelmanager/v1/model_service_pb.ts";
import {
  DOWNLOAD_STATES,
  type Download,
  type DownloadState,
  FILE_STATES,
  type FileState,
  type Progress,
} from "../../domain/download.ts";
import { assertModelId } from "../../domain/names.ts";
import type { StartDownload } from "../../domain/ports/downloads.ts";
import { enumCodec } from "./enums.ts";
import { failureToMessage } from "./failure.ts";
import { optionalBytes, optionalNumber } from "./optional-bytes.ts";
import { credentialFromMessage } from "./source.ts";

const states = enumCodec<DownloadState, DownloadStateMessage>(DownloadStateSchema, DOWNLOAD_STATES);
const fileStates = enumCodec<FileState, FileStateMessage>(FileStateSchema, FILE_STATES);

/** Reads what StartDownload and DownloadModel ask for. */
export function startDownloadFromMessage(request: StartDownloadRequest | DownloadModelRequest): StartDownload {
  const { modelId, revision, priority, allowPatterns, ignorePatterns } = request;
  assertModelId("model_id", modelId);
  return {
    modelId,
    revision,
    priority,
    rateLimit: optionalNumber(request.rateLimit),
    allowPatterns,
    ignorePatterns,
    credential: credentialFromMessage(request.credential),
  };
}

/** The message of a download. */
export function downloadToMessage(download: Download): DownloadMessage {
  return create(DownloadSchema, {
    id: download.id,
    modelId: download.modelId,
    state: states.toMessage(download.state),
    revision: download.revision,
    resolvedRevision: download.resolvedRevision,
    allowPatterns: [...download.allowPatterns],
    ignorePatterns: [...download.ignorePatterns],
    priority: download.priority,
    rateLimit: optionalBytes(download.rateLimit),
    progress: progressToMessage({ ...download.progress, files: [] }),
    version: download.version,
    error: download.error && failureToMessage(download.error),
    createTime: timestampFromDate(download.createTime),
    updateTime: timestampFromDate(download.updateTime),
    endTime: download.endTime && timestampFromDate(download.endTime),
  });
}

/** The message of a snapshot of progress. */
export function progressToMessage(progress: Progress): DownloadProgressMessage {
  return create(DownloadProgressSchema, {
    downloadId: progress.downloadId,
    state: states.toMessage(progress.state),
    completedBytes: BigInt(progress.completedBytes),
    totalBytes: optionalBytes(progress.totalBytes),
    sourceBytes: BigInt(progress.sourceBytes),
    peerBytes: BigInt(progress.peerBytes),
    reusedBytes: BigInt(progress.reusedBytes),
    completedFiles: progress.completedFiles,
    totalFiles: progress.totalFiles,
    bytesPerSecond: BigInt(Math.round(progress.bytesPerSecond)),
    eta: progress.etaMs === undefined ? undefined : durationFromMs(Math.round(progress.etaMs)),
    attempt: progress.attempt,
    resolvedRevision: progress.resolvedRevision,
    updateTime: timestampFromDate(progress.updateTime),
    files: progress.files.map((file) => ({
      path: file.path,
      state: fileStates.toMessage(file.state),
      completedBytes: BigInt(file.completedBytes),
      totalBytes: optionalBytes(file.totalBytes),
    })),
    version: progress.version,
    error: progress.error && failureToMessage(progress.error),
    waiting: progress.waiting && failureToMessage(progress.waiting),
  });
}
