import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError } from "commander";
import { CollectGarbageResponseSchema } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { humanBytes } from "../lib/bytes.ts";
import { parseDuration } from "../lib/duration.ts";
import { withClient } from "./connection.ts";
import { messageJson, print, printJson } from "./output.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

interface GcOptions extends ServiceOptions {
  readonly dryRun?: boolean;
  readonly grace?: number;
}

/** Adds `gc`: takes away blobs that nothing needs. */
export function addGc(program: Command): void {
  const command = program
    .command("gc")
    .summary("take away blobs that nothing needs")
    .description("Takes away blobs that no version and no live download has used for a while.")
    .option("-n, --dry-run", "only tell what would go")
    .option("--grace <duration>", "how long a blob must have been without use, such as 10m (default: 1h)", parseGrace);
  withServiceOptions(command).action(gc);
}

async function gc(options: GcOptions): Promise<void> {
  const { dryRun, grace } = options;
  const answer = await withClient(options, (client) =>
    client.models.collectGarbage({ dryRun, grace: grace === undefined ? undefined : durationFromMs(grace) }),
  );
  if (options.json) {
    printJson(messageJson(CollectGarbageResponseSchema, answer));
    return;
  }
  for (const { digest, size } of answer.blobs) print(`${digest}  ${humanBytes(size)}`);
  const blobs = answer.blobCount === 1n ? "1 blob" : `${answer.blobCount} blobs`;
  const freed = dryRun ? "would free" : "freed";
  if (answer.quarantineBytes > 0n) print(`${freed} ${humanBytes(answer.quarantineBytes)} of the quarantine`);
  print(`${freed} ${humanBytes(answer.freedBytes)} in ${blobs}`);
}

function parseGrace(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw new InvalidArgumentError(`It ${error instanceof Error ? error.message : error}.`);
  }
}
