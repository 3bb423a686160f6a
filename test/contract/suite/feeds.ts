import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { type Event, EventKind } from "../../../gen/modelmanager/v1/event_pb.ts";
import { type ContractContext, collect, createModel, expectError, freshId } from "./context.ts";

const KINDS = new Map<number, string>(Object.entries(EventKind).map(([name, value]) => [value, name]));

function brief({ kind, resource }: Event): string {
  return `${KINDS.get(kind)} ${resource.case ?? "nothing"}`;
}

/** What every client sees of WatchModels and WatchWorkers; one that is not `live` hands over a stream when it has ended. */
export function describeFeeds(context: () => ContractContext, live: boolean): void {
  it.runIf(live)("streams a snapshot of models, a bookmark and changes", async () => {
    const { models } = context();
    const { id } = await createModel(context());
    const filter = `id = "${id}"`;
    const seen: string[] = [];
    for await (const { event } of models.watchModels({ filter })) {
      if (!event) continue;
      seen.push(brief(event));
      if (event.kind === EventKind.BOOKMARK) await models.updateModel({ model: { id, description: "changed" } });
      if (event.kind !== EventKind.UPDATED) continue;
      expect(event.resource.value).toEqual((await models.getModel({ modelRef: id })).model);
      break;
    }
    expect(seen).toEqual(["SNAPSHOT model", "BOOKMARK nothing", "UPDATED model"]);
  });

  it.runIf(live)("goes on from the sequence of a list answer", async () => {
    const { workers } = context();
    const id = freshId("watched");
    const filter = `id = "${id}"`;
    const { sequence: afterSequence } = await workers.listWorkers({ filter });
    await workers.registerWorker({ worker: { id } });
    await workers.deleteWorker({ workerId: id });
    const seen: string[] = [];
    for await (const { event } of workers.watchWorkers({ filter, afterSequence })) {
      if (!event || event.kind === EventKind.BOOKMARK) break;
      expect(event.sequence).toBeGreaterThan(afterSequence);
      seen.push(brief(event));
    }
    expect(seen).toEqual(["CREATED worker", "DELETED worker"]);
  });

  it("says that it does not have what came after a sequence", async () => {
    const { models, workers } = context();
    const afterSequence = (1n << 64n) - 1n;
    await expectError(collect(models.watchModels({ afterSequence })), Code.OutOfRange, "SEQUENCE_EXPIRED");
    await expectError(collect(workers.watchWorkers({ afterSequence })), Code.OutOfRange, "SEQUENCE_EXPIRED");
    await expectError(collect(models.watchModels({ filter: "id" })), Code.InvalidArgument, "FILTER_INVALID");
  });
}
