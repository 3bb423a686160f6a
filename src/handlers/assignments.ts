import type { ServiceImpl } from "@connectrpc/connect";
import type { WorkerService } from "../../gen/modelmanager/v1/worker_service_pb.ts";
import { parseModelRef } from "../domain/model-ref.ts";
import { assertModelId } from "../domain/names.ts";
import type { Workers } from "../domain/ports/workers.ts";
import { assignmentToMessage, launchFromMessage, targetFromMessage } from "./messages/assignment.ts";
import { uuidFromMessage } from "./messages/uuid.ts";
import { notImplemented } from "./not-implemented.ts";

type AssignmentMethods = Pick<
  ServiceImpl<typeof WorkerService>,
  "assignModel" | "unassignModel" | "listWorkerModels" | "watchAssignments"
>;

/** The part of WorkerService that says which worker should hold which version. */
export function assignmentMethods(workers: Workers): AssignmentMethods {
  return {
    async assignModel({ modelRef, workerId, target, launch, dryRun }) {
      const ref = parseModelRef("model_ref", modelRef);
      if (!workerId) throw notImplemented("AssignModel without a worker_id");
      const assignment = await workers.assign({
        ref,
        workerId,
        target: targetFromMessage(target),
        launch: launchFromMessage(launch),
        dryRun,
      });
      return { assignment: assignmentToMessage(assignment) };
    },

    async unassignModel({ assignmentId, modelId, workerId }) {
      if (!assignmentId) assertModelId("model_id", modelId);
      await workers.unassign(assignmentId ? { assignmentId: uuidFromMessage(assignmentId) } : { modelId, workerId });
      return {};
    },

    async listWorkerModels({ workerId }) {
      return { assignments: (await workers.listAssignments(workerId)).map(assignmentToMessage) };
    },

    // biome-ignore lint/correctness/useYield: there is nothing to yield before it is implemented.
    async *watchAssignments() {
      throw notImplemented("WatchAssignments");
    },
  };
}
