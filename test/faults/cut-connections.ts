import { createHash } from "node:crypto";
import { join } from "node:path";
import { DownloadState } from "../../gen/modelmanager/v1/download_pb.ts";
import { humanBytes } from "../../src/lib/bytes.ts";
import { createHttpModel, pollDownload, startDownload, startDrivenService } from "../support/driven-service.ts";
import { noise } from "../support/model-files.ts";
import { startOrigin } from "../support/origin.ts";
import { expectOneVersion } from "./expect-version.ts";
import { expectThat, type FaultCase } from "./fault-case.ts";

const SIZE = 64 * 1024 ** 2;
const CUT_AFTER = 1_000_000;

/** No connection lives longer than a million bytes, for a whole file. */
export const cutConnections: FaultCase = {
  name: "every connection cut after 1 MB",
  timeoutMs: 5 * 60_000,
  async run({ folder, opened, seed }) {
    const bytes = Buffer.concat([...noise(SIZE, seed)]);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const origin = await startOrigin();
    opened.defer(() => origin.close());
    const url = origin.serve("/cut.bin", bytes, { methods: ["GET"], dropAfter: CUT_AFTER });
    const service = await startDrivenService(join(folder, "data"));
    opened.defer(() => service.crash());
    await createHttpModel(service.client, "cut", [{ url, path: "cut.bin", sha256 }]);
    const startedAt = performance.now();
    const downloadId = await startDownload(service.client, "cut");
    await pollDownload(service.client, downloadId, ({ state }) => state === DownloadState.SUCCEEDED);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    await expectOneVersion(service.client, "cut", [sha256], service.store);
    const sent = origin.bytesOf("/cut.bin");
    // A piece that was not complete when its connection was cut may be asked for again.
    expectThat(sent <= 2 * SIZE, `most of what a cut connection brought is kept; ${humanBytes(sent)} were sent`);
    return `${humanBytes(SIZE)} in ${seconds} s over ${origin.requestsOf("/cut.bin").length} requests, ${humanBytes(sent)} sent`;
  },
};
