import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { AssignmentState, AssignmentTarget } from "../../../gen/modelmanager/v1/assignment_pb.ts";
import { WorkerStatus } from "../../../gen/modelmanager/v1/worker_pb.ts";
import { type ContractContext, collect, createAvailableModel, createModel, expectError, freshId } from "./context.ts";

/** What every client sees of WorkerService. */
export function describeWorkers(context: () => ContractContext): void {
  async function register(id = freshId("worker"), labels = {}) {
    const answer = await context().workers.registerWorker({
      worker: {
        id,
        address: "10.0.0.7:9000",
        labels,
        capacity: { memoryBytes: 64n << 30n, gpus: [{ index: 0, model: "H100", memoryBytes: 80n << 30n }] },
      },
    });
    return { workerId: answer.worker?.id ?? "", sessionToken: answer.sessionToken, answer };
  }

  it("registers a worker, with its own id or an assigned one", async () => {
    const { workers } = context();
    const { workerId, sessionToken, answer } = await register();
    expect(answer.worker).toMatchObject({ status: WorkerStatus.ONLINE, address: "10.0.0.7:9000" });
    expect(answer.worker?.capacity?.gpus[0]?.memoryBytes).toBe(80n << 30n);
    expect(Number(answer.leaseDuration?.seconds)).toBeGreaterThan(0);
    expect(sessionToken.length).toBeGreaterThan(20);
    expect((await workers.getWorker({ workerId })).worker?.id).toBe(workerId);
    expect((await workers.registerWorker({ worker: {} })).worker?.id).toBeTruthy();
  });

  it("takes heartbeats of the newest session alone, and knows BUSY from ONLINE", async () => {
    const { workers } = context();
    const { workerId, sessionToken } = await register();
    const busy = await workers.heartbeat({ workerId, sessionToken, load: { utilization: 0.95, activeRequests: 3 } });
    expect(busy.worker).toMatchObject({ status: WorkerStatus.BUSY });
    expect(busy.worker?.load?.activeRequests).toBe(3);
    const calm = await workers.heartbeat({ workerId, sessionToken, load: { utilization: 0.1 } });
    expect(calm.worker?.status).toBe(WorkerStatus.ONLINE);
    const report = { assignmentId: "01890a5d-ac96-774b-bcce-b302099a8057", state: AssignmentState.READY };
    const twice = workers.heartbeat({ workerId, sessionToken, assignments: [report, report] });
    const [violation] = await expectError(twice, Code.InvalidArgument, "FIELD_INVALID");
    expect(violation?.field).toBe("assignments[1].assignment_id");
    const second = await register(workerId);
    expect(second.workerId).toBe(workerId);
    await expectError(workers.heartbeat({ workerId, sessionToken }), Code.FailedPrecondition, "SESSION_STALE");
    await workers.heartbeat({ workerId, sessionToken: second.sessionToken });
    const stranger = workers.heartbeat({ workerId: freshId("nobody"), sessionToken });
    await expectError(stranger, Code.NotFound, "WORKER_NOT_FOUND");
  });

  it("lists workers with their counts", async () => {
    const { workers } = context();
    const zone = freshId("zone");
    const ids = [freshId("a"), freshId("b"), freshId("c")].sort();
    for (const id of ids) await register(id, { zone });
    const page = await workers.listWorkers({ pageSize: 2, filter: `labels.zone = "${zone}" AND status = ONLINE` });
    expect(page.workers.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(page).toMatchObject({ totalSize: 3n, onlineCount: 3n });
    const rest = await workers.listWorkers({
      pageSize: 2,
      filter: `labels.zone = "${zone}" AND status = ONLINE`,
      pageToken: page.nextPageToken,
    });
    expect(rest.workers.map(({ id }) => id)).toEqual(ids.slice(2));
    expect(rest).toMatchObject({ nextPageToken: "", totalSize: 3n, onlineCount: 3n });
  });

  it("updates a worker, guarded by etag", async () => {
    const { workers } = context();
    const { workerId, answer } = await register();
    const etag = answer.worker?.etag ?? "";
    const { worker } = await workers.updateWorker({
      worker: { id: workerId, etag, cordoned: true, labels: { a: "b" } },
    });
    expect(worker).toMatchObject({ cordoned: true, labels: { a: "b" }, address: "10.0.0.7:9000" });
    const stale = workers.updateWorker({ worker: { id: workerId, etag, cordoned: true } });
    await expectError(stale, Code.Aborted, "ETAG_MISMATCH");
    const wrong = workers.updateWorker({ worker: { id: workerId }, updateMask: { paths: ["status"] } });
    await expectError(wrong, Code.InvalidArgument, "FIELD_INVALID");
  });

  it("assigns a model, hears of it in heartbeats, and takes it back", async () => {
    const { workers } = context();
    const { id: modelId } = await createAvailableModel(context());
    const { workerId, sessionToken } = await register();
    const { assignment } = await workers.assignModel({
      modelRef: modelId,
      workerId,
      launch: { engine: "vllm", args: ["--max-model-len", "4096"], env: { A: "1" } },
    });
    expect(assignment).toMatchObject({
      workerId,
      modelId,
      version: 1,
      target: AssignmentTarget.SERVING,
      state: AssignmentState.PENDING,
      deploymentId: "",
    });
    const assignmentId = assignment?.id ?? "";
    const report = { assignmentId, state: AssignmentState.READY, address: "http://10.0.0.7:8000", gpuIndices: [0] };
    await workers.heartbeat({ workerId, sessionToken, assignments: [report] });
    const held = await workers.listWorkerModels({ workerId });
    expect(held.assignments).toHaveLength(1);
    expect(held.assignments[0]).toMatchObject({ id: assignmentId, state: AssignmentState.READY, gpuIndices: [0] });
    expect(held.assignments[0]?.launch).toMatchObject({ engine: "vllm", args: ["--max-model-len", "4096"] });
    const { models } = context();
    const inUse = models.deleteVersion({ modelId, version: 1 });
    await expectError(inUse, Code.FailedPrecondition, "RESOURCE_IN_USE");
    await workers.unassignModel({ assignmentId });
    const removing = await workers.listWorkerModels({ workerId });
    expect(removing.assignments[0]?.state).toBe(AssignmentState.REMOVING);
    await workers.heartbeat({ workerId, sessionToken, assignments: [] });
    expect((await workers.listWorkerModels({ workerId })).assignments).toEqual([]);
  });

  it("refuses assignments that cannot be", async () => {
    const { workers } = context();
    const { id: modelRef } = await createAvailableModel(context());
    const { id: empty } = await createModel(context());
    const { workerId } = await register();
    await expectError(workers.assignModel({ modelRef: empty, workerId }), Code.NotFound, "VERSION_NOT_FOUND");
    await expectError(
      workers.assignModel({ modelRef, workerId: freshId("nobody") }),
      Code.NotFound,
      "WORKER_NOT_FOUND",
    );
    await expectError(workers.assignModel({ modelRef: `${modelRef}@9`, workerId }), Code.NotFound, "VERSION_NOT_FOUND");
    await workers.updateWorker({ worker: { id: workerId, cordoned: true } });
    await expectError(workers.assignModel({ modelRef, workerId }), Code.FailedPrecondition, "STATE_INVALID");
    const both = workers.unassignModel({ assignmentId: "01890a5d-ac96-774b-bcce-b302099a8057", workerId });
    await expectError(both, Code.InvalidArgument, "FIELD_INVALID");
    const none = workers.unassignModel({ modelId: modelRef, workerId });
    await expectError(none, Code.NotFound, "ASSIGNMENT_NOT_FOUND");
  });

  it("deletes a worker with its assignments", async () => {
    const { workers, models } = context();
    const { id: modelId } = await createAvailableModel(context());
    const { workerId } = await register();
    await workers.assignModel({ modelRef: modelId, workerId, target: AssignmentTarget.CACHED });
    await workers.deleteWorker({ workerId });
    await expectError(workers.getWorker({ workerId }), Code.NotFound, "WORKER_NOT_FOUND");
    await models.deleteVersion({ modelId, version: 1 });
  });

  it("says what is not implemented yet", async () => {
    const { workers } = context();
    for (const call of [
      () => workers.drainWorker({ workerId: "a" }),
      () => workers.assignModel({ modelRef: "a" }),
      () => workers.setDeployment({ deployment: { modelRef: "a", scale: { case: "replicas", value: 1 } } }),
      () => workers.getDeployment({ deploymentId: "a" }),
      () => workers.listDeployments({}),
      () => workers.deleteDeployment({ deploymentId: "a" }),
      () => workers.resolveModel({ modelRef: "a" }),
      () => collect(workers.watchAssignments({ workerId: "a", sessionToken: "x" })),
      () => collect(workers.watchModelEndpoints({ modelRef: "a" })),
    ]) {
      await expectError(call(), Code.Unimplemented, "NOT_IMPLEMENTED");
    }
  });
}
