import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type Assignment as AssignmentMessage,
  type AssignmentReport as AssignmentReportMessage,
  AssignmentSchema,
  type AssignmentState as AssignmentStateMessage,
  AssignmentStateSchema,
  type AssignmentTarget as AssignmentTargetMessage,
  AssignmentTargetSchema,
  type Launch as LaunchMessage,
} from "../../../gen/modelmanager/v1/assignment_pb.ts";
import {
  ASSIGNMENT_STATES,
  ASSIGNMENT_TARGETS,
  type Assignment,
  type AssignmentReport,
  type AssignmentState,
  type AssignmentTarget,
  type Launch,
} from "../../domain/assignment.ts";
import { invalidField } from "../../domain/errors.ts";
import { enumCodec } from "./enums.ts";
import { optionalBytes, optionalNumber } from "./optional-bytes.ts";
import { uuidFromMessage } from "./uuid.ts";

const states = enumCodec<AssignmentState, AssignmentStateMessage>(AssignmentStateSchema, ASSIGNMENT_STATES);
const targets = enumCodec<AssignmentTarget, AssignmentTargetMessage>(AssignmentTargetSchema, ASSIGNMENT_TARGETS);

/** The message of an assignment. */
export function assignmentToMessage(assignment: Assignment): AssignmentMessage {
  const { engine, args, env } = assignment.launch;
  return create(AssignmentSchema, {
    id: assignment.id,
    workerId: assignment.workerId,
    modelId: assignment.modelId,
    version: assignment.version,
    target: targets.toMessage(assignment.target),
    launch: { engine, args: [...args], env },
    deploymentId: assignment.deploymentId,
    state: states.toMessage(assignment.state),
    message: assignment.message,
    address: assignment.address,
    gpuIndices: [...assignment.gpuIndices],
    localPath: assignment.localPath,
    completedBytes: BigInt(assignment.completedBytes),
    totalBytes: optionalBytes(assignment.totalBytes),
    createTime: timestampFromDate(assignment.createTime),
    updateTime: timestampFromDate(assignment.updateTime),
  });
}

/** Reads what is wanted of an assignment; by default that it serves. */
export function targetFromMessage(target: AssignmentTargetMessage): AssignmentTarget {
  return targets.fromMessage(target) ?? "SERVING";
}

/** Reads how to launch a model. */
export function launchFromMessage(launch: LaunchMessage | undefined): Launch {
  return { engine: launch?.engine ?? "", args: launch?.args ?? [], env: launch?.env ?? {} };
}

/** Reads what a worker reports of all its assignments; FIELD_INVALID if one is there twice. */
export function reportsFromMessage(field: string, messages: readonly AssignmentReportMessage[]): AssignmentReport[] {
  const reports = messages.map(reportFromMessage);
  const seen = new Set<string>();
  for (const [index, { assignmentId }] of reports.entries()) {
    if (seen.has(assignmentId)) throw invalidField(`${field}[${index}].assignment_id`, "must be there only once");
    seen.add(assignmentId);
  }
  return reports;
}

function reportFromMessage(report: AssignmentReportMessage): AssignmentReport {
  return {
    assignmentId: uuidFromMessage(report.assignmentId),
    state: states.fromMessage(report.state) ?? "PENDING",
    message: report.message,
    address: report.address,
    gpuIndices: report.gpuIndices,
    localPath: report.localPath,
    completedBytes: Number(report.completedBytes),
    totalBytes: optionalNumber(report.totalBytes),
  };
}
