import { type Download, DownloadStateSchema } from "../../../gen/modelmanager/v1/download_pb.ts";
import { ErrorReasonSchema } from "../../../gen/modelmanager/v1/error_reason_pb.ts";
import type { Failure } from "../../../gen/modelmanager/v1/failure_pb.ts";
import { formatModelRef } from "../../domain/model-ref.ts";
import { formatAmounts } from "./progress.ts";
import { type Column, formatTable } from "./table.ts";
import { ago, enumName } from "./values.ts";
import { formatWaiting } from "./waiting.ts";

/** Prints a list of downloads. */
export function formatDownloads(downloads: readonly Download[], now: Date): string {
  const columns: Column<Download>[] = [
    { heading: "DOWNLOAD", text: (download) => download.id },
    { heading: "MODEL", text: modelAndVersion },
    { heading: "REVISION", text: (download) => download.revision },
    { heading: "STATE", text: (download) => enumName(DownloadStateSchema, download.state) },
    { heading: "DONE", align: "right", text: ({ progress }) => (progress ? formatAmounts(progress) : "") },
    { heading: "STARTED", text: (download) => ago(download.createTime, now) },
    { heading: "ERROR", text: ({ error, progress }) => formatFailure(error) || formatWaiting(progress?.waiting) },
  ];
  return formatTable(columns, downloads);
}

/** A failure on one line; empty if there is none. */
function formatFailure(failure: Failure | undefined): string {
  return failure === undefined ? "" : `${enumName(ErrorReasonSchema, failure.reason)}: ${failure.message}`;
}

function modelAndVersion({ modelId, version }: Download): string {
  return formatModelRef({ modelId, version });
}
