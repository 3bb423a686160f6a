import { fork } from "node:child_process";
import { once } from "node:events";
import { type FileOriginOptions, startFileOrigin, type Traffic } from "../../support/file-origin.ts";

/** An origin in a process of its own, so that it takes no time of those that are measured. */
export interface OriginProcess extends AsyncDisposable {
  /** Scheme, host and port. */
  readonly base: string;
  traffic(): Promise<Traffic>;
}

/** Starts a process that serves files. */
export async function startOriginProcess(options: FileOriginOptions): Promise<OriginProcess> {
  const child = fork(import.meta.filename, [JSON.stringify(options)]);
  const exited = once(child, "exit");
  const [base] = await Promise.race([once(child, "message"), exited]);
  if (typeof base !== "string") throw new Error(`the origin ended with ${base}`);
  return {
    base,
    async traffic() {
      const answered = once(child, "message");
      child.send("traffic");
      const [traffic] = await answered;
      return traffic;
    },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect();
      await exited;
    },
  };
}

if (import.meta.main) {
  const origin = await startFileOrigin(JSON.parse(process.argv[2] ?? "{}"));
  process.on("message", () => process.send?.(origin.traffic()));
  process.once("disconnect", () => process.exit());
  process.send?.(origin.base);
}
