import { execFileSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { mountTmpfs } from "../download/support/tmpfs.ts";
import {
  createHttpModel,
  pollDownload,
  startDownload,
  startDrivenService,
  stateName,
} from "../support/driven-service.ts";
import { startFileOrigin } from "../support/file-origin.ts";
import { writeRandomFile } from "../support/random-file.ts";
import { expectOneVersion } from "./expect-version.ts";
import { expectThat, type FaultCase, Skipped, until } from "./fault-case.ts";

/** The store's file system becomes read-only, and can be written again later. */
export const readOnlyStore: FaultCase = {
  name: "read-only store",
  timeoutMs: 180_000,
  async run({ folder, opened, seed }) {
    const root = join(folder, "files");
    const disk = join(folder, "disk");
    await Promise.all([mkdir(root), mkdir(disk)]);
    const unmount = mountTmpfs(disk, "size=512m");
    if (unmount === undefined) throw new Skipped("no file system may be mounted here");
    opened.defer(unmount);
    const file = await writeRandomFile(join(root, "file.bin"), 8 * 1024 ** 2, seed);
    const origin = await startFileOrigin({ root });
    opened.defer(() => origin.close());
    const store = join(disk, "store");
    const service = await startDrivenService(join(folder, "data"), {
      MODEL_MANAGER_STORE: store,
      MODEL_MANAGER_HEADROOM: "16MiB",
    });
    opened.defer(() => service.crash());
    const { client } = service;
    const { models } = client;
    await createHttpModel(client, "read-only", [{ ...file, url: `${origin.base}/${file.name}`, path: file.name }]);

    remount(disk, "ro");
    const downloadId = await startDownload(client, "read-only");
    let seen = "";
    await until("the download says that it cannot write", 60_000, async () => {
      const { download } = await models.getDownload({ downloadId });
      const failure = download?.error ?? download?.progress?.waiting;
      expectThat(download?.state !== DownloadState.SUCCEEDED, "nothing succeeds on a store that cannot be written");
      if (download === undefined || failure === undefined) return false;
      expectThat(!failure.message.includes(disk), "the failure is told without a path of the server");
      seen = `${stateName(download)}: ${failure.message}`;
      return true;
    });
    expectThat((await models.listVersions({ modelId: "read-only" })).versions.length === 0, "there is no version");
    remount(disk, "rw");
    const { download } = await models.getDownload({ downloadId });
    if (download?.state === DownloadState.FAILED) await models.resumeDownload({ downloadId });
    await pollDownload(client, downloadId, ({ state }) => state === DownloadState.SUCCEEDED);
    await expectOneVersion(client, "read-only", [file.sha256], store);
    return `${seen}; done once it could be written`;
  },
};

function remount(directory: string, mode: "ro" | "rw"): void {
  execFileSync("mount", ["-o", `remount,${mode}`, directory], { stdio: "ignore" });
}
