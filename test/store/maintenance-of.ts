import { createMaintenance, type Maintenance, type MaintenanceOptions } from "../../src/store/maintenance.ts";
import type { Cluster } from "../download/support/service.ts";
import { silent } from "../sources/helpers.ts";

/** What looks after a cluster's store; its work in the background is not started. */
export function maintenanceOf(
  { store, blobs: records, damage }: Cluster,
  downloads: MaintenanceOptions["downloads"],
  options: Partial<MaintenanceOptions> = {},
): Maintenance {
  return createMaintenance({ store, records, damage, downloads, log: silent, ...options });
}
