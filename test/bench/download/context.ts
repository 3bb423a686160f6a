import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { type DrivenService, type SourceFile, startDrivenService } from "../../support/driven-service.ts";
import { type RandomFile, writeRandomFile } from "../../support/random-file.ts";
import { type Origins, startOrigins } from "./origins.ts";

export interface DownloadBenchOptions {
  /** Bytes of the big file; others are parts of it. */
  readonly size: number;
  /** How often each contender runs. */
  readonly rounds: number;
}

export interface ServiceOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly data?: string;
}

/** What the benches of downloads share. */
export interface DownloadBench extends DownloadBenchOptions {
  readonly folder: string;
  /** Served by `origins`. */
  readonly root: string;
  readonly origins: Origins;
  /** A file below `root`, made when it is first asked for. */
  file(name: string, size: number): Promise<RandomFile>;
  /** A service that trusts the origins. Its folder below `folder` is `data`; default a new one. It ends with the bench at the latest. */
  startService(options?: ServiceOptions): Promise<DrivenService>;
  /** Gives outputs of the former run no way to disturb the next one. */
  settle(): Promise<void>;
  /** Tells the reader something beside the table. */
  note(text: string): void;
}

/** Makes files' folder and origins; everything is gone when `opened` is disposed of. */
export async function openDownloadBench(
  options: DownloadBenchOptions,
  opened: AsyncDisposableStack,
): Promise<DownloadBench> {
  const folder = await mkdtemp(join(os.tmpdir(), "model-manager-bench-"));
  opened.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const root = join(folder, "files");
  await mkdir(root);
  const origins = await startOrigins(folder, root, opened);
  const files = new Map<string, Promise<RandomFile>>();
  let services = 0;
  return {
    ...options,
    folder,
    root,
    origins,
    file(name, size) {
      const made = files.get(name) ?? writeRandomFile(join(root, name), size, files.size + 1);
      files.set(name, made);
      return made;
    },
    async startService({ environment, data }: ServiceOptions = {}) {
      services += 1;
      const service = await startDrivenService(join(folder, data ?? `service-${services}`), {
        MODEL_MANAGER_LOG_LEVEL: "warn",
        NODE_EXTRA_CA_CERTS: origins.authority,
        ...environment,
      });
      return opened.use(service);
    },
    async settle() {
      await once(spawn("sync", { stdio: "ignore" }), "exit");
    },
    note: (text) => console.log(text),
  };
}

/** A file as a source names it, at an origin. */
export function sourceFileAt(base: string, { name, sha256 }: RandomFile): SourceFile {
  return { url: `${base}/${name}`, path: name, sha256 };
}
