/**
 * Compares downloads by the built service with what else people download with, all on loopback: every contender once in each
 * round, the middle of all rounds told. See `--help`.
 */
import os from "node:os";
import { parseArgs } from "node:util";
import { formatBytes, humanBytes, parseBytes } from "../../src/lib/bytes.ts";
import { DOWNLOAD_BENCHES } from "./download/benches.ts";
import { openDownloadBench } from "./download/context.ts";
import type { Row } from "./support/row.ts";
import { formatTable } from "./support/table.ts";

const NAMES = Object.keys(DOWNLOAD_BENCHES);
const { values } = parseArgs({
  options: {
    size: { type: "string", default: "2GiB" },
    rounds: { type: "string", default: "3" },
    only: { type: "string", multiple: true, default: NAMES },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(
    `npm run bench:download -- [--size 2GiB] [--rounds 3] [--only NAME]…\n\nNAME is one of ${NAMES.join(", ")}.`,
  );
  process.exit();
}

const unknown = values.only.find((name) => !(name in DOWNLOAD_BENCHES));
if (unknown !== undefined) throw new Error(`no bench is named '${unknown}'; there are ${NAMES.join(", ")}`);

await using opened = new AsyncDisposableStack();
const stopped = Promise.withResolvers<never>();
for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => stopped.reject(new Error(`stopped by ${signal}`)));
const options = { size: parseBytes(values.size), rounds: Math.max(1, Number(values.rounds)) };
const bench = await openDownloadBench(options, opened);
console.log(
  `${os.cpus().length} × ${os.cpus()[0]?.model}, ${humanBytes(os.totalmem())}, Node ${process.versions.node}; ` +
    `${formatBytes(options.size)} in ${options.rounds} rounds from ${bench.origins.name}`,
);
const rows: Row[] = [];
for (const [name, run] of Object.entries(DOWNLOAD_BENCHES)) {
  if (!values.only.includes(name)) continue;
  console.log(`running ${name} …`);
  rows.push(...(await Promise.race([run(bench), stopped.promise])));
}
console.log(formatTable(rows));
