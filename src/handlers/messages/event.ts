import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { EventKind, type Event as EventMessage, EventSchema } from "../../../gen/modelmanager/v1/event_pb.ts";
import type { FeedEvent, Named } from "../../domain/ports/feeds.ts";
import { assignmentToMessage } from "./assignment.ts";
import { downloadToMessage } from "./download.ts";
import { aliasToMessage, modelToMessage } from "./model.ts";
import { versionToMessage } from "./version.ts";
import { workerToMessage } from "./worker.ts";

/** The message of an event. */
export function eventToMessage(event: FeedEvent): EventMessage {
  return create(EventSchema, {
    sequence: BigInt(event.sequence),
    time: timestampFromDate(event.time),
    kind: EventKind[event.kind],
    resource: event.kind === "BOOKMARK" ? undefined : resourceToMessage(event),
  });
}

/** Reads an `after_sequence`; what is beyond all that can be is as far in the future as any. */
export function sequenceFromMessage(sequence: bigint | undefined): number | undefined {
  return sequence === undefined ? undefined : Math.min(Number(sequence), Number.MAX_SAFE_INTEGER);
}

function resourceToMessage(named: Named): EventMessage["resource"] {
  switch (named.noun) {
    case "model":
      return { case: "model", value: modelToMessage(named.resource) };
    case "version":
      return { case: "version", value: versionToMessage(named.resource) };
    case "alias":
      return { case: "alias", value: aliasToMessage(named.resource) };
    case "download":
      return { case: "download", value: downloadToMessage(named.resource) };
    case "worker":
      return { case: "worker", value: workerToMessage(named.resource) };
    case "assignment":
      return { case: "assignment", value: assignmentToMessage(named.resource) };
  }
}
