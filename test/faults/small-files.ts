import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { ModelType } from "../../gen/modelmanager/v1/model_pb.ts";
import { checkBlobs, partsIn } from "../support/check-store.ts";
import { pollDownload, startDownload, startDrivenService } from "../support/driven-service.ts";
import { type HubFile, startHub } from "../support/hub.ts";
import { expectThat, type FaultCase } from "./fault-case.ts";

const FILES = 10_000;
const REPO = "faults/many";

/** A repository of very many small files, every second one in LFS. */
export const smallFiles: FaultCase = {
  name: `${FILES} small files`,
  timeoutMs: 10 * 60_000,
  async run({ folder, opened }) {
    const hub = await startHub({ pageSize: 1000 });
    opened.defer(() => hub.close());
    const files: Record<string, HubFile> = {};
    for (let index = 0; index < FILES; index += 1) {
      files[`shard-${index % 100}/${index}.bin`] = { bytes: randomBytes(200 + (index % 800)), lfs: index % 2 === 0 };
    }
    hub.commit(REPO, { files });
    const service = await startDrivenService(join(folder, "data"));
    opened.defer(() => service.crash());
    const { client, store } = service;
    const source = { kind: { case: "huggingface" as const, value: { repo: REPO, endpoint: hub.endpoint } } };
    await client.models.createModel({ model: { id: REPO, type: ModelType.LLM, source } });
    const startedAt = performance.now();
    const downloadId = await startDownload(client, REPO);
    await pollDownload(client, downloadId, ({ state }) => state === DownloadState.SUCCEEDED);
    const seconds = (performance.now() - startedAt) / 1000;
    const { version } = await client.models.getVersion({ modelRef: REPO });
    expectThat(version?.files.length === FILES, `the version has all files, not ${version?.files.length}`);
    const stored = await checkBlobs(store);
    expectThat(stored.size === FILES, `the store has a blob for each file, not ${stored.size}`);
    expectThat(partsIn(store).length === 0, "no part is left");
    return `${seconds.toFixed(1)} s, ${Math.round(FILES / seconds)} files a second`;
  },
};
