import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A server of moto: S3 with versions, conditions and checksums, which does not look at signatures. */
export interface Moto {
  readonly endpoint: string;
  close(): Promise<void>;
}

const PROGRAM = `
import logging, threading
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
`;

/** Whether Python has moto here. */
export const hasMoto = spawnSync("python3", ["-c", "import moto.server, flask"], { stdio: "ignore" }).status === 0;

/** Starts moto on a free port. */
export async function startMoto(): Promise<Moto> {
  const python = spawn("python3", ["-c", PROGRAM], { stdio: ["ignore", "pipe", "ignore"] });
  const lines = createInterface({ input: python.stdout });
  const [port] = await Promise.race([
    once(lines, "line"),
    once(python, "exit").then(() => {
      throw new Error("moto did not start");
    }),
  ]);
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async close() {
      const ended = once(python, "exit");
      python.kill("SIGKILL");
      await ended;
    },
  };
}
