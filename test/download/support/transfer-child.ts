/** Transfers `argv[3]` into the spool `argv[2]` under the lease `argv[4]` and prints how much it has, until it is killed. */
import { createTransfer } from "../../../src/download/transfer/engine.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { httpSource, request, silent, testSources } from "../../sources/helpers.ts";

const [spool = "", url = "", lease = ""] = process.argv.slice(2);
const transfer = await createTransfer({
  spool,
  log: silent,
  clock: systemClock,
  random: Math.random,
  isLive: async () => true,
  maxConnections: 1,
});
const resolved = await testSources().resolve(httpSource({ path: "model.bin", url }), request());
const [file] = resolved.files;
if (file === undefined) throw new Error("no file");
let received = 0;
await transfer.transferFile({
  lease: JSON.parse(lease),
  file,
  // Slow enough for a record to be written on the way.
  limiter: { quantum: 16 * 1024, take: (bytes) => systemClock.sleep(bytes / 3000) },
  signal: new AbortController().signal,
  observer: {
    sized() {},
    kept() {},
    received(bytes) {
      received += bytes;
      process.stdout.write(`${received}\n`);
    },
    async restarted() {},
    verifying() {},
    waiting() {},
  },
});
