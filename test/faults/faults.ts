/**
 * Faults that take longer than a test should: each case on a service of its own, one line a case. Ends with 0 only if
 * none failed. See `--help`.
 */
import { randomInt } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseBytes } from "../../src/lib/bytes.ts";
import { FAULT_CASES } from "./cases.ts";
import type { FaultOptions } from "./fault-case.ts";
import { runCase } from "./run-case.ts";

const NAMES = Object.keys(FAULT_CASES);
const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "50" },
    size: { type: "string", default: "1GiB" },
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
    only: { type: "string", multiple: true, default: NAMES },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(
    `npm run test:faults -- [--kills 50] [--size 1GiB] [--seed N] [--only NAME]…\n\nNAME is one of ${NAMES.join(", ")}.`,
  );
  process.exit();
}
const unknown = values.only.find((name) => !(name in FAULT_CASES));
if (unknown !== undefined) throw new Error(`no case is named '${unknown}'; there are ${NAMES.join(", ")}`);

const options: FaultOptions = {
  kills: Number(values.kills),
  size: parseBytes(values.size),
  seed: Number(values.seed),
};
const folder = await mkdtemp(join(os.tmpdir(), "model-manager-faults-"));
let running = new AsyncDisposableStack();
let stopped = false;
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    stopped = true;
    // The case that runs fails for want of what it started.
    void running.disposeAsync();
  });
}
console.log(`seed ${options.seed}`);
const outcomes = { passed: 0, failed: 0, skipped: 0 };
for (const [name, fault] of Object.entries(FAULT_CASES)) {
  if (stopped || !values.only.includes(name)) continue;
  const own = join(folder, name);
  await mkdir(own);
  running = new AsyncDisposableStack();
  const { outcome, line } = await runCase(fault, { ...options, folder: own, opened: running });
  outcomes[outcome] += 1;
  console.log(line);
}
await rm(folder, { recursive: true, force: true, maxRetries: 5 });
console.log(`${outcomes.passed} passed, ${outcomes.failed} failed, ${outcomes.skipped} skipped`);
process.exit(outcomes.failed === 0 && !stopped ? 0 : 1);
