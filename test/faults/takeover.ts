import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { startEmbeddedPostgres } from "../../src/registry/embedded/server.ts";
import { partsIn } from "../support/check-store.ts";
import {
  createHttpModel,
  isSucceeded,
  pollDownload,
  startDownload,
  startDrivenService,
} from "../support/driven-service.ts";
import { startFileOrigin } from "../support/file-origin.ts";
import { writeRandomFile } from "../support/random-file.ts";
import { silentLog } from "../support/service.ts";
import { expectOneVersion } from "./expect-version.ts";
import { expectThat, type FaultCase, type FaultContext, Skipped, until } from "./fault-case.ts";

const MIB = 1024 ** 2;
const FILE_BYTES = 192 * MIB;
const TOTAL_RATE = 16 * MIB;
/** Longer than the lease of a download, with time to ask for work. */
const TAKEOVER_MS = 40_000;

/** The owner wakes up when another replica has published the version. */
export const stoppedUntilAfter: FaultCase = {
  name: "SIGSTOP of the owner until another replica has finished",
  timeoutMs: 180_000,
  run: (context) => stopOwner(context, "after"),
};

/** The owner wakes up while another replica works on what was its download. */
export const stoppedUntilDuring: FaultCase = {
  name: "SIGSTOP of the owner until another replica is at work",
  timeoutMs: 180_000,
  run: (context) => stopOwner(context, "during"),
};

/** Two replicas share a database and a store; the one that has the download is stopped for longer than its lease. */
async function stopOwner({ folder, opened, seed }: FaultContext, wakes: "during" | "after"): Promise<string> {
  if (process.platform !== "linux") throw new Skipped("it takes Linux to see which files a process holds open");
  const file = await writeRandomFile(join(folder, "big.bin"), FILE_BYTES, seed);
  const origin = await startFileOrigin({ root: folder, totalRate: TOTAL_RATE });
  opened.defer(() => origin.close());
  const database = await startEmbeddedPostgres({ directory: join(folder, "postgres"), log: silentLog });
  opened.defer(() => database.stop());
  const { user, host, port, database: name } = database.connection;
  const store = join(folder, "store");
  const shared = {
    DATABASE_URL: `postgres://${user}@/${name}?${new URLSearchParams({ host, port: String(port) })}`,
    MODEL_MANAGER_STORE: store,
  };
  const owner = await startDrivenService(join(folder, "owner"), shared);
  opened.defer(() => owner.crash());
  await createHttpModel(owner.client, "shared", [{ ...file, url: `${origin.base}/${file.name}`, path: file.name }]);
  const downloadId = await startDownload(owner.client, "shared");
  await pollDownload(owner.client, downloadId, ({ completedBytes }) => completedBytes > FILE_BYTES / 4);
  expectThat((await openParts(owner.process.pid, store)).length > 0, "the owner holds the part file open");
  const heir = await startDrivenService(join(folder, "heir"), shared);
  opened.defer(() => heir.crash());

  owner.process.kill("SIGSTOP");
  const stoppedAt = performance.now();
  await until("the other replica takes over", TAKEOVER_MS, async () => {
    return (await openParts(heir.process.pid, store)).length > 0 || (await isSucceeded(heir.client, downloadId));
  });
  const tookOver = ((performance.now() - stoppedAt) / 1000).toFixed(1);
  const finished = () => pollDownload(heir.client, downloadId, ({ state }) => state === DownloadState.SUCCEEDED);
  if (wakes === "after") await finished();
  owner.process.kill("SIGCONT");
  await until("the stopped one lets go of the part file", 20_000, async () => {
    return (await openParts(owner.process.pid, store)).length === 0;
  });
  await finished();
  for (const { client } of [owner, heir]) await expectOneVersion(client, "shared", [file.sha256], store);
  await until("no part is left", 20_000, () => partsIn(store).length === 0);
  return `taken over after ${tookOver} s, one honest version`;
}

/** The files below the store's parts that a process holds open. */
async function openParts(pid: number, store: string): Promise<string[]> {
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const targets = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
  return targets.filter((target) => target.startsWith(join(store, "parts")));
}
