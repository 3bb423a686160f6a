import type { Command } from "commander";
import { AssignmentSchema } from "../../gen/modelmanager/v1/assignment_pb.ts";
import { WorkerSchema } from "../../gen/modelmanager/v1/worker_pb.ts";
import { CliError } from "./cli-error.ts";
import { addCommand, addListCommand } from "./commands.ts";
import { withClient } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
import { counted } from "./format/values.ts";
import { formatWorker, formatWorkers } from "./format/worker.ts";
import { messageJson, print, printJson, tell } from "./output.ts";
import { allPages } from "./pages.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

interface ListOptions extends ServiceOptions {
  readonly filter?: string;
}

/** Adds `workers` with `list`, `show` and `rm`. */
export function addWorkers(program: Command): void {
  const workers = addCommand(
    program,
    "workers",
    "list, show and delete workers",
    "Lists workers; shows or deletes one.",
  );
  const add = (name: string, summary: string, description: string) =>
    addCommand(workers, name, summary, description).argument("<worker>", "the worker's id");

  const listing = addListCommand(workers, "Lists workers by id.", "status = ONLINE AND labels.zone = a");
  withServiceOptions(listing).action(list);
  const showing = add("show", "show a worker and its models", "Shows a worker, and what it should have and has.");
  withServiceOptions(showing).action(show);
  const removing = add("rm", "delete a worker", "Deletes a worker with its assignments.");
  withServiceOptions(removing).action(rm);
}

async function list(options: ListOptions): Promise<void> {
  const pages = await withClient(options, (client) =>
    allPages((page) => client.workers.listWorkers({ ...page, filter: options.filter })),
  );
  const workers = pages.flatMap((page) => page.workers);
  const [{ totalSize, onlineCount }] = pages;
  if (options.json) {
    const items = workers.map((worker) => messageJson(WorkerSchema, worker));
    printJson({ workers: items, totalSize: Number(totalSize), onlineCount: Number(onlineCount) });
  } else if (workers.length > 0) {
    print(formatWorkers(workers, new Date()));
    tell(`${counted(totalSize, "worker")}, ${onlineCount} online`);
  } else tell(options.filter === undefined ? "no workers yet" : "no worker matches the filter");
}

async function show(workerId: string, options: ServiceOptions): Promise<void> {
  const [{ worker }, { assignments }] = await withClient(options, ({ workers }) =>
    Promise.all([workers.getWorker({ workerId }), workers.listWorkerModels({ workerId })]),
  );
  if (worker === undefined) throw new CliError(EXIT.failure, "the service answered without a worker");
  if (options.json) {
    const items = assignments.map((assignment) => messageJson(AssignmentSchema, assignment));
    printJson({ worker: messageJson(WorkerSchema, worker), assignments: items });
  } else print(formatWorker(worker, assignments, new Date()));
}

async function rm(workerId: string, options: ServiceOptions): Promise<void> {
  await withClient(options, (client) => client.workers.deleteWorker({ workerId }));
  if (options.json) printJson({ deleted: workerId });
  else tell(`deleted ${workerId}`);
}
