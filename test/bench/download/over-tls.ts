import { join } from "node:path";
import type { Row } from "../support/row.ts";
import { compareWithCurl } from "./compare-with-curl.ts";
import { type DownloadBench, sourceFileAt } from "./context.ts";

/** One big file over TLS against curl, which does not even check the certificate. */
export async function overTls(bench: DownloadBench): Promise<Row[]> {
  const source = sourceFileAt(bench.origins.https, await bench.file("big.bin", bench.size));
  return compareWithCurl(bench, {
    what: "one file over TLS",
    name: "curl -o -k",
    sources: [source],
    args: (output) => ["-k", "-o", join(output, source.path), source.url],
    atMost: 1,
  });
}
