import { SOCKET_PORT } from "./socket-directory.ts";

/** Server settings by their PostgreSQL names, such as `{ fsync: "off" }`. */
export type ServerSettings = Readonly<Record<string, string>>;

/**
 * A small server beside a service: about 17 MB at rest, most of which is the program itself, and a few more for each
 * connection. Durability is PostgreSQL's default: what was committed survives a crash of the machine.
 */
const DEFAULTS: ServerSettings = {
  shared_buffers: "32MB",
  max_connections: "50",
  maintenance_work_mem: "32MB",
  max_wal_size: "256MB",
  huge_pages: "off",
  jit: "off",
  // No processes of its own for reading ahead, for parallel plans and for replication.
  io_method: "sync",
  max_worker_processes: "2",
  max_parallel_workers_per_gather: "0",
  max_parallel_maintenance_workers: "0",
  max_logical_replication_workers: "0",
  max_wal_senders: "0",
  autovacuum_max_workers: "2",
  autovacuum_worker_slots: "2",
  timezone: "UTC",
};

/** The arguments of `postgres` that serve `cluster` on a socket in `socketDirectory`, and on nothing else. */
export function serverArguments(cluster: string, socketDirectory: string, settings: ServerSettings = {}): string[] {
  const fixed: ServerSettings = {
    listen_addresses: "",
    port: `${SOCKET_PORT}`,
    // A list of names, so that a comma or a space in one needs quotes.
    unix_socket_directories: `"${socketDirectory.replaceAll('"', '""')}"`,
    unix_socket_permissions: "0700",
    // What the service's log reads: process, SQLSTATE, severity, all on standard error and in English.
    log_destination: "stderr",
    logging_collector: "off",
    log_line_prefix: "%p %e ",
    log_timezone: "UTC",
    lc_messages: "C",
  };
  // The fixed ones come first, so that a complaint about another one has the right form already, and they win.
  const all = { ...fixed, ...DEFAULTS, ...settings, ...fixed };
  return ["-D", cluster, ...Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`])];
}
