import type { InferSelectModel } from "drizzle-orm";
import type { Change } from "../../domain/ports/feeds.ts";
import type { EventNoun, events } from "../schema/events.ts";

type Stored = Readonly<Record<string, unknown>>;

const TIMES: Readonly<Record<EventNoun, readonly string[]>> = {
  model: ["createTime", "updateTime"],
  version: ["createTime", "updateTime", "lastUsedTime"],
  alias: ["updateTime"],
  download: ["createTime", "updateTime", "endTime"],
  worker: ["createTime", "updateTime", "lastSeenTime", "leaseExpireTime"],
  assignment: ["createTime", "updateTime"],
};

/** The change of a row of events: JSON has kept all of its resource but the kind of its times. */
export function toChange({ sequence, time, kind, noun, resource }: InferSelectModel<typeof events>): Change {
  return { sequence, time, kind, noun, resource: reviveResource(noun, resource) } as unknown as Change;
}

/** A resource as it was before it became JSON. */
export function reviveResource(noun: EventNoun, stored: Stored): Stored {
  const revived = withTimes(stored, TIMES[noun]);
  if (noun === "model")
    return { ...revived, aliases: (stored.aliases as Stored[]).map((alias) => reviveResource("alias", alias)) };
  if (noun === "download") return { ...revived, progress: withTimes(stored.progress as Stored, ["updateTime"]) };
  return revived;
}

function withTimes(stored: Stored, names: readonly string[]): Stored {
  const times = names.flatMap((name) => {
    const time = stored[name];
    return typeof time === "string" ? [[name, new Date(time)]] : [];
  });
  return { ...stored, ...Object.fromEntries(times) };
}
