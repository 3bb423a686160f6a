import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Row } from "../support/row.ts";
import { compareWithCurl } from "./compare-with-curl.ts";
import { type DownloadBench, sourceFileAt } from "./context.ts";

const FILES = 200;
const FILE_BYTES = 1024 ** 2;

/** Many small files, each with its digest, against curl's parallel mode. */
export async function manyFiles(bench: DownloadBench): Promise<Row[]> {
  const sources = [];
  for (let index = 0; index < FILES; index += 1) {
    sources.push(sourceFileAt(bench.origins.http, await bench.file(`small-${index}.bin`, FILE_BYTES)));
  }
  const list = join(bench.folder, "many-files.txt");
  await writeFile(list, sources.map(({ url, path }) => `url = "${url}"\noutput = "${path}"\n`).join(""));
  return compareWithCurl(bench, {
    what: `${FILES} files of 1 MiB`,
    name: "curl -Z --parallel-max 50",
    sources,
    args: (output) => ["-Z", "--parallel-max", "50", "--output-dir", output, "-K", list],
    atMost: 1.1,
  });
}
