import { createHash } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { DownloadState } from "../../../gen/modelmanager/v1/download_pb.ts";
import { ModelStatus, ModelType } from "../../../gen/modelmanager/v1/model_pb.ts";
import { type ContractContext, collect, createModel, expectError, freshId } from "./context.ts";

/** What every client sees of ModelService's downloads. */
export function describeDownloads(context: () => ContractContext): void {
  it("streams a download from a snapshot to its end, and makes a version of exactly those bytes", async () => {
    const { models, files } = context();
    const { id } = await createModel(context());
    const messages = await collect(models.downloadModel({ modelId: id }));
    const [first] = messages;
    const last = messages.at(-1)?.progress;
    const total = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(first?.progress?.downloadId).toBe(last?.downloadId);
    expect(last).toMatchObject({
      state: DownloadState.SUCCEEDED,
      completedBytes: BigInt(total),
      totalBytes: BigInt(total),
      completedFiles: files.length,
      totalFiles: files.length,
      version: 1,
    });
    for (const [index, { progress }] of messages.entries()) {
      const before = messages[index - 1]?.progress;
      if (progress && before && progress.attempt === before.attempt) {
        expect(progress.completedBytes).toBeGreaterThanOrEqual(before.completedBytes);
      }
    }
    const { model, version } = await models.getModel({ modelRef: id });
    expect(model?.status).toBe(ModelStatus.AVAILABLE);
    for (const { path, bytes } of files) {
      const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
      expect(version?.files.find((file) => file.path === path)?.digest).toBe(digest);
    }
  });

  it("starts, reads, lists and watches a download; unchanged content gives the version that exists", async () => {
    const { models } = context();
    const { id } = await createModel(context());
    const { download } = await models.startDownload({ modelId: id });
    const watched = await collect(models.watchDownload({ downloadId: download?.id ?? "" }));
    expect(watched.at(-1)?.progress?.state).toBe(DownloadState.SUCCEEDED);
    const ended = await models.getDownload({ downloadId: download?.id ?? "" });
    expect(ended.download).toMatchObject({ state: DownloadState.SUCCEEDED, version: 1, modelId: id });
    const again = await collect(models.downloadModel({ modelId: id }));
    expect(again.at(-1)?.progress?.version).toBe(1);
    const list = await models.listDownloads({ filter: `model_id = "${id}" AND state = SUCCEEDED` });
    expect(list.downloads).toHaveLength(2);
    expect(list.totalSize).toBe(2n);
    const watchedAfter = await collect(models.watchDownload({ downloadId: download?.id ?? "" }));
    expect(watchedAfter).toHaveLength(1);
  });

  it("ends the stream with the failure's status, and the model says FAILED", async () => {
    const { models, files } = context();
    const url = `${files[0]?.url}-is-not-there`;
    const id = freshId("missing");
    await models.createModel({
      model: { id, type: ModelType.LLM, source: { kind: { case: "http", value: { files: [{ url, path: "a" }] } } } },
    });
    await expectError(collect(models.downloadModel({ modelId: id })), Code.NotFound, "SOURCE_FILE_NOT_FOUND");
    expect((await models.getModel({ modelRef: id })).model?.status).toBe(ModelStatus.FAILED);
    const { downloads } = await models.listDownloads({ filter: `model_id = "${id}"` });
    expect(downloads[0]).toMatchObject({ state: DownloadState.FAILED });
    expect(downloads[0]?.error?.message).toBeTruthy();
  });

  it("changes, pauses and resumes a live download", async () => {
    const { models } = context();
    const { id } = await createModel(context());
    const { download } = await models.startDownload({ modelId: id, rateLimit: 65_536n });
    const downloadId = download?.id ?? "";
    const paused = await models.pauseDownload({ downloadId });
    expect(paused.download).toMatchObject({ state: DownloadState.PAUSED, rateLimit: 65_536n });
    const changed = await models.updateDownload({ downloadId, rateLimit: 0n, priority: 7 });
    expect(changed.download).toMatchObject({ priority: 7, state: DownloadState.PAUSED });
    expect(changed.download?.rateLimit).toBeUndefined();
    const tooSlow = models.updateDownload({ downloadId, rateLimit: 5n });
    const [violation] = await expectError(tooSlow, Code.InvalidArgument, "FIELD_INVALID");
    expect(violation?.field).toBe("rate_limit");
    await models.resumeDownload({ downloadId });
    const messages = await collect(models.watchDownload({ downloadId }));
    expect(messages.at(-1)?.progress?.state).toBe(DownloadState.SUCCEEDED);
    for (const call of [models.pauseDownload, models.resumeDownload, models.updateDownload]) {
      await expectError(call({ downloadId }), Code.FailedPrecondition, "STATE_INVALID");
    }
  });

  it("refuses to end a download that has ended", async () => {
    const { models } = context();
    const { id } = await createModel(context());
    const messages = await collect(models.downloadModel({ modelId: id }));
    const downloadId = messages[0]?.progress?.downloadId ?? "";
    await expectError(models.cancelDownload({ downloadId }), Code.FailedPrecondition, "STATE_INVALID");
  });

  it("tells what is missing or malformed", async () => {
    const { models } = context();
    const nobody = "01890a5d-ac96-774b-bcce-b302099a8057";
    await expectError(models.getDownload({ downloadId: nobody }), Code.NotFound, "DOWNLOAD_NOT_FOUND");
    await expectError(models.cancelDownload({ downloadId: nobody }), Code.NotFound, "DOWNLOAD_NOT_FOUND");
    const watch = collect(models.watchDownload({ downloadId: nobody }));
    await expectError(watch, Code.NotFound, "DOWNLOAD_NOT_FOUND");
    await expectError(models.getDownload({ downloadId: "x" }), Code.InvalidArgument, "FIELD_INVALID");
    await expectError(models.startDownload({ modelId: freshId("none") }), Code.NotFound, "MODEL_NOT_FOUND");
  });

  it("keeps and repeats nothing that is not the name of a configured credential", async () => {
    const { models } = context();
    const { id } = await createModel(context());
    const secret = "hf-looks-like-a-token";
    const misplaced = models.startDownload({ modelId: id, credential: { kind: { case: "name", value: secret } } });
    const [violation] = await expectError(misplaced, Code.InvalidArgument, "FIELD_INVALID");
    expect(violation).toMatchObject({ field: "credential.name", description: expect.not.stringContaining(secret) });
    const source = { kind: { case: "huggingface" as const, value: { repo: "org/name", credential: secret } } };
    const named = models.createModel({ model: { id: freshId("named"), type: ModelType.LLM, source } });
    const [inSource] = await expectError(named, Code.InvalidArgument, "FIELD_INVALID");
    expect(inSource?.field).toBe("model.source.huggingface.credential");
  });

  it("says that what is uploaded has no source", async () => {
    const { models } = context();
    const id = freshId("uploaded");
    await models.createModel({ model: { id, type: ModelType.LLM, source: { kind: { case: "upload", value: {} } } } });
    await expectError(models.startDownload({ modelId: id }), Code.FailedPrecondition, "STATE_INVALID");
  });
}
