import {
  type DownloadProgress,
  DownloadStateSchema,
  type FileProgress,
} from "../../../gen/modelmanager/v1/download_pb.ts";
import { humanBytes } from "../../lib/bytes.ts";
import { humanDuration } from "../../lib/duration.ts";
import { printable } from "./table.ts";
import { counted, enumName } from "./values.ts";

/** Bytes that are here, and of how many if that is known. */
export interface Amounts {
  readonly completedBytes: bigint;
  readonly totalBytes?: bigint;
}

/** `12.0 MiB of 48.0 MiB`, or the first alone while the total is unknown. */
export function formatAmounts({ completedBytes, totalBytes }: Amounts): string {
  const done = humanBytes(completedBytes);
  return totalBytes === undefined ? done : `${done} of ${humanBytes(totalBytes)}`;
}

/** A bar such as `[#####-----]`; empty while the total is unknown. */
export function formatBar(amounts: Amounts, width: number): string {
  const share = shareOf(amounts);
  const filled = share === undefined ? 0 : Math.floor(share * width);
  return `[${"#".repeat(filled)}${"-".repeat(width - filled)}]`;
}

/** ` 42%`, always four characters. 100% means all of it. */
export function formatPercent(amounts: Amounts): string {
  const share = shareOf(amounts);
  return share === undefined ? "   -" : `${Math.floor(share * 100)}%`.padStart(4);
}

/** How far the whole download is: bar, bytes, speed, time left, files. */
export function formatTotal(progress: DownloadProgress, barWidth: number): string {
  const { completedFiles, totalFiles, bytesPerSecond, eta } = progress;
  const parts = [
    `${formatBar(progress, barWidth)} ${formatPercent(progress)}`,
    formatAmounts(progress),
    bytesPerSecond > 0n ? `${humanBytes(bytesPerSecond)}/s` : "",
    eta === undefined ? "" : `ETA ${humanDuration(Number(eta.seconds) * 1000 + eta.nanos / 1e6)}`,
    totalFiles === undefined ? "" : `${completedFiles} of ${counted(totalFiles, "file")}`,
    progress.attempt > 1 ? `attempt ${progress.attempt}` : "",
  ];
  return parts.filter((part) => part !== "").join("  ");
}

/** One file: its bar, bytes, and as much of its path as fits into `width` characters. */
export function formatFile(file: FileProgress, barWidth: number, width: number): string {
  const text = `${formatBar(file, barWidth)} ${formatPercent(file)}  ${formatAmounts(file)}  `;
  return text + shorten(printable(file.path), Math.max(8, width - text.length));
}

/** What a download does now, for people. */
export function formatState(progress: DownloadProgress): string {
  return enumName(DownloadStateSchema, progress.state).toLowerCase();
}

function shareOf({ completedBytes, totalBytes }: Amounts): number | undefined {
  if (totalBytes === undefined) return undefined;
  return totalBytes === 0n ? 1 : Math.min(1, Number(completedBytes) / Number(totalBytes));
}

/** The end of a path says more than its beginning. */
function shorten(text: string, width: number): string {
  return text.length <= width ? text : `…${text.slice(text.length - width + 1)}`;
}
