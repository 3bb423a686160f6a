import {
  type Assignment,
  AssignmentStateSchema,
  AssignmentTargetSchema,
} from "../../../gen/modelmanager/v1/assignment_pb.ts";
import { type Worker, WorkerStatusSchema } from "../../../gen/modelmanager/v1/worker_pb.ts";
import { formatModelRef } from "../../domain/model-ref.ts";
import { humanBytes } from "../../lib/bytes.ts";
import { formatAmounts } from "./progress.ts";
import { type Column, formatDetails, formatTable, printable } from "./table.ts";
import { ago, enumName, formatLabels, timeAndAge } from "./values.ts";

/** Prints a list of workers. */
export function formatWorkers(workers: readonly Worker[], now: Date): string {
  const columns: Column<Worker>[] = [
    { heading: "WORKER", text: (worker) => worker.id },
    { heading: "STATUS", text: formatStatus },
    { heading: "ADDRESS", text: (worker) => worker.address },
    { heading: "LOAD", align: "right", text: formatUtilization },
    { heading: "MODELS", align: "right", text: (worker) => String(worker.assignmentCount) },
    { heading: "LABELS", text: (worker) => formatLabels(worker.labels) },
    { heading: "SEEN", text: (worker) => ago(worker.lastSeenTime, now) },
  ];
  return formatTable(columns, workers);
}

/** Prints all of a worker, with what it should have and has. */
export function formatWorker(worker: Worker, assignments: readonly Assignment[], now: Date): string {
  const { capacity } = worker;
  const details = formatDetails([
    ["status", formatStatus(worker)],
    ["address", worker.address],
    ["labels", formatLabels(worker.labels)],
    ["load", formatUtilization(worker)],
    ["memory", capacity?.memoryBytes ? humanBytes(capacity.memoryBytes) : ""],
    ["disk", capacity?.diskBytes ? humanBytes(capacity.diskBytes) : ""],
    ["most models", capacity?.maxModels ? String(capacity.maxModels) : ""],
    ["gpus", capacity?.gpus.map((gpu) => `${gpu.index}: ${gpu.model} ${humanBytes(gpu.memoryBytes)}`).join(", ")],
    ["registered", timeAndAge(worker.createTime, now)],
    ["seen", timeAndAge(worker.lastSeenTime, now)],
  ]);
  const models = assignments.length === 0 ? "no models\n" : formatTable(ASSIGNMENT_COLUMNS, assignments);
  return `${printable(worker.id)}\n${details}\n${models}`;
}

const ASSIGNMENT_COLUMNS: readonly Column<Assignment>[] = [
  { heading: "MODEL", text: ({ modelId, version }) => formatModelRef({ modelId, version }) },
  { heading: "WANTED", text: (assignment) => enumName(AssignmentTargetSchema, assignment.target) },
  { heading: "STATE", text: (assignment) => enumName(AssignmentStateSchema, assignment.state) },
  { heading: "DONE", align: "right", text: (one) => (one.totalBytes === undefined ? "" : formatAmounts(one)) },
  { heading: "ADDRESS", text: (assignment) => assignment.address },
  { heading: "MESSAGE", text: (assignment) => assignment.message },
  { heading: "ASSIGNMENT", text: (assignment) => assignment.id },
];

function formatStatus(worker: Worker): string {
  const wishes = [worker.draining ? "draining" : worker.cordoned ? "cordoned" : ""].filter((wish) => wish !== "");
  return [enumName(WorkerStatusSchema, worker.status), ...wishes].join(", ");
}

function formatUtilization({ load }: Worker): string {
  return load === undefined ? "" : `${Math.round(load.utilization * 100)}%`;
}
