import type { Row } from "../support/row.ts";
import type { DownloadBench } from "./context.ts";
import { killInTheMiddle } from "./kill.ts";
import { limitedOrigin } from "./limited-origin.ts";
import { manyFiles } from "./many-files.ts";
import { memoryOfMany } from "./memory.ts";
import { oneFile } from "./one-file.ts";
import { overTls } from "./over-tls.ts";
import { twoAtOnce } from "./two-at-once.ts";

/** The benches of downloads by their names, in the order of the table. */
export const DOWNLOAD_BENCHES: Readonly<Record<string, (bench: DownloadBench) => Promise<Row[]>>> = {
  "one-file": oneFile,
  "many-files": manyFiles,
  "limited-origin": limitedOrigin,
  "two-at-once": twoAtOnce,
  tls: overTls,
  memory: memoryOfMany,
  kill: killInTheMiddle,
};
