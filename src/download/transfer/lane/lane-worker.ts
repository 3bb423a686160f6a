import { performance } from "node:perf_hooks";
import { setDefaultCACertificates } from "node:tls";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { Hasher } from "./hasher.ts";
import { IdleWires } from "./idle-wires.ts";
import { LaneFile, type LaneTools } from "./lane-file.ts";
import { faultOf, type LaneCommand, type LaneEvent, type LaneMessage, type LaneRequest } from "./lane-messages.ts";
import { Slabs } from "./slabs.ts";

/** What a lane's thread is started with. */
export interface LaneWorkerData {
  /** To the hashing thread. */
  readonly port: MessagePort;
  readonly slabs: number;
  /** Whom the main thread trusts: what it was told is not known in other threads. */
  readonly authorities: string[];
  /** How often connections are looked after. */
  readonly tickMs: number;
}

/** A thread that receives files: reads sockets, writes part files and their journals, and hands what it wrote to be hashed. */
const { port, slabs: count, tickMs, authorities }: LaneWorkerData = workerData;
setDefaultCACertificates(authorities);
const files = new Map<number, LaneFile>();
const slabs = new Slabs(count);
const LEAST_QUOTA = 2;

let utilization = performance.eventLoopUtilization();
let busy = 0;

const tools: LaneTools = {
  slabs,
  hasher: new Hasher(port, slabs.memory),
  idle: new IdleWires(),
  quota: () => Math.max(LEAST_QUOTA, Math.floor(count / Math.max(1, files.size))),
  busy: () => busy,
};

function tell(file: number, event: LaneEvent): void {
  parentPort?.postMessage({ file, event } satisfies LaneMessage);
}

async function handle(id: number, command: LaneCommand): Promise<unknown> {
  if (command.kind === "open") {
    files.set(id, new LaneFile(command.options, tools, (event) => tell(id, event)));
    return undefined;
  }
  const file = files.get(id);
  if (file === undefined) return undefined;
  switch (command.kind) {
    case "connect":
      return file.connect(command.connection, command.target);
    case "retire":
      return file.retire(command.connection);
    case "dismiss":
      return file.dismiss();
    case "grant":
      return file.grant(command.bytes);
    case "gap":
      return file.gap();
    case "feed":
      return file.feed(command.bytes);
    case "fed":
      return file.fed(command.whole);
    case "describe":
      return file.describe(command.header, command.size);
    case "restart":
      return await file.restart(command.header, command.size);
    case "seal":
      files.delete(id);
      return await file.seal();
    case "close":
      files.delete(id);
      return await file.close();
  }
}

parentPort?.on("message", async ({ file, request, command }: LaneRequest) => {
  try {
    const value = await handle(file, command);
    if (request !== undefined) tell(file, { kind: "answer", request, value });
  } catch (error) {
    if (request !== undefined) tell(file, { kind: "answer", request, error: faultOf(error) });
    else tell(file, { kind: "failed", error: faultOf(error) });
  }
});

setInterval(() => {
  const now = performance.eventLoopUtilization();
  busy = performance.eventLoopUtilization(now, utilization).utilization;
  utilization = now;
  for (const file of files.values()) file.tick();
}, tickMs);
