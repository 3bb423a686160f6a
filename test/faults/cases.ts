import { cutConnections } from "./cut-connections.ts";
import { diskFull } from "./disk-full.ts";
import type { FaultCase } from "./fault-case.ts";
import { killAtRandom } from "./kill.ts";
import { readOnlyStore } from "./read-only-store.ts";
import { smallFiles } from "./small-files.ts";
import { soak } from "./soak.ts";
import { stoppedUntilAfter, stoppedUntilDuring } from "./takeover.ts";

/** The cases by the names that the command line takes. */
export const FAULT_CASES: Readonly<Record<string, FaultCase>> = {
  kill: killAtRandom,
  "takeover-after": stoppedUntilAfter,
  "takeover-during": stoppedUntilDuring,
  "disk-full": diskFull,
  "read-only": readOnlyStore,
  "small-files": smallFiles,
  "cut-connections": cutConnections,
  soak,
};
