import type { Command } from "commander";
import { type VerifyStorageResponse, VerifyStorageResponseSchema } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { withClient } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
import { formatDamaged, formatVerified } from "./format/verify.ts";
import { jsonText, messageJson, print, tell } from "./output.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";

/** How often lines say how far it is where there is no terminal to overwrite them on. */
const LINE_INTERVAL_MS = 2_000;

/** Adds `store` with `verify`. */
export function addStore(program: Command): void {
  const store = program
    .command("store")
    .summary("check the files in the store")
    .description("Checks the files in the service's store.");
  const verifying = store
    .command("verify")
    .summary("read files again and check their digests")
    .description(
      "Reads what is in the store again and checks digests. Damaged files are put aside and downloaded again from where " +
        "they came; then the exit code is 1.",
    )
    .argument("[models...]", "<id>, <id>@<alias> or <id>@<version>; default: all that is in the store");
  withServiceOptions(verifying).action(verify);
}

async function verify(modelRefs: string[], options: ServiceOptions): Promise<void> {
  const view = options.json ? jsonView : textView(performance.now.bind(performance));
  const damaged = await withClient(options, async ({ models }) => {
    let found = 0;
    for await (const message of models.verifyStorage({ modelRefs })) {
      found += message.damaged.length;
      view.update(message, found);
    }
    view.end();
    return found;
  });
  if (damaged > 0) process.exitCode = EXIT.failure;
}

interface View {
  update(message: VerifyStorageResponse, found: number): void;
  end(): void;
}

const jsonView: View = {
  update: (message) => print(jsonText(messageJson(VerifyStorageResponseSchema, message))),
  end() {},
};

/** Damage and the result go to the output; how far it is, to the terminal or now and then to the log. */
function textView(now: () => number): View {
  const overwrites = process.stderr.isTTY === true;
  let saidAt = now();
  let result = "";
  const clear = () => {
    if (overwrites) process.stderr.write("\r\u001b[K");
  };
  return {
    update(message, found) {
      if (message.damaged.length > 0) clear();
      for (const blob of message.damaged) print(formatDamaged(blob));
      result = formatVerified(message, found);
      if (overwrites) {
        clear();
        process.stderr.write(result);
      } else if (now() - saidAt >= LINE_INTERVAL_MS) {
        saidAt = now();
        tell(result);
      }
    },
    end() {
      clear();
      print(result);
    },
  };
}
