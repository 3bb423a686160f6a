import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { styleText } from "node:util";

const MAIN = resolve(import.meta.dirname, "../../dist/main.js");
/** The first start makes a database. */
const START_MS = 30_000;
const STOP_MS = 15_000;

/** The service as a process of its own. */
export interface DemoService {
  readonly url: string;
  /** Resolves with how it ended, whenever that is. */
  readonly ended: Promise<string>;
  /** Ends it in good order. May be called again. */
  stop(): Promise<void>;
}

/** Starts the service on a free port of loopback with `data` as its folder. */
export async function startDemoService(data: string): Promise<DemoService> {
  const child = spawn(process.execPath, [MAIN, "serve"], {
    env: environment({
      MODEL_MANAGER_DATA: data,
      MODEL_MANAGER_PORT: "0",
      // The demo's disk may be small or nearly full.
      MODEL_MANAGER_HEADROOM: "64MiB",
      MODEL_MANAGER_ALLOW_NETWORKS: "127.0.0.0/8",
      MODEL_MANAGER_LOG_LEVEL: "warn",
    }),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit").then(([code, signal]) => String(code ?? signal));
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    const how = await ended;
    clearTimeout(timer);
    if (how !== "0") throw new Error(`the service ended with ${how}`);
  };
  const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
  let output = "";
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output += chunk;
    const url = /listens on (\S+)/.exec(output)?.[1];
    if (url === undefined) continue;
    clearTimeout(timer);
    child.stdout.resume();
    return { url, ended, stop };
  }
  clearTimeout(timer);
  throw new Error(`the service did not start: it ended with ${await ended}`);
}

/** Runs a command of the command line on this terminal; throws unless it ends with 0. */
export async function runCommand(service: DemoService, args: readonly string[]): Promise<void> {
  console.log(styleText("cyan", `$ model-manager ${args.join(" ")}`));
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: environment({ MODEL_MANAGER_SERVER: service.url }),
    stdio: ["ignore", "inherit", "inherit"],
  });
  const how = await Promise.race([
    once(child, "exit").then(([code, signal]) => String(code ?? signal)),
    service.ended.then((end) => `nothing, for the service ended with ${end}`),
  ]);
  if (how === "0") return;
  child.kill();
  throw new Error(`model-manager ${args[0]} ended with ${how}`);
}

/** This process's environment without what would configure the service otherwise. */
function environment(own: Record<string, string>): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(MODEL_MANAGER_|DATABASE_URL$)/.test(name));
  return { ...Object.fromEntries(inherited), NODE_ENV: "production", ...own };
}
